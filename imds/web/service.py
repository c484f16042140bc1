"""From a request to its answer: guards, who is calling, which endpoint. Nothing here waits.

The order, for a security reader: marks of proxies and browsers → the caller's rule → the endpoint that the address
serves → (metadata) session token → method → path, (container) authorization token → its owner → its role.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from imds.core.addresses import CONTAINER_ADDRESSES, INSTANCE_METADATA_ADDRESSES
from imds.core.errors import Refusal, RefusedError, RequestError, TooManyRequestsError
from imds.core.events import MISDATED
from imds.core.instances import BEYOND_THIS_HOST
from imds.core.leases import scope_of
from imds.core.paths import TOKEN
from imds.core.policy import decide
from imds.web import faults, statuses, tally
from imds.web.container_credentials import ROOTS
from imds.web.faults import TOKEN_HEADER
from imds.web.recent import RecentCallers
from imds.web.tally import Tally
from imds.web.turned_away import TurnedAway, Why

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.core.callers import Caller, Fact
    from imds.core.clock import Clock
    from imds.core.events import Fault
    from imds.core.instances import Instance
    from imds.core.leases import Leases
    from imds.core.limits import RateLimit
    from imds.core.policy import Decision, Rule
    from imds.core.simulation import Simulations
    from imds.web.answer import Answer
    from imds.web.container_credentials import ContainerCredentials
    from imds.web.guards import Guards
    from imds.web.instance_metadata import InstanceMetadata
    from imds.web.request import Request

logger = logging.getLogger(__name__)

REPEAT_AFTER = 60.0
"""Seconds for which the same refusal is not logged again."""

OK, UNAUTHORIZED, FORBIDDEN = 200, 401, 403
MOST_DECISIONS = 1024
_TOKEN_PATH = ("latest", *TOKEN.split("/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a reload replaces as a whole.

    Attributes:
        leases: tell which role a caller has leased in whose scope it runs.
    """

    rules: tuple[Rule, ...]
    instances: Mapping[str, Instance]
    guards: Guards
    rate_limit: RateLimit
    leases: Leases
    allow_faults: bool = False
    _decided: dict[Caller, Decision] = field(default_factory=dict, init=False, repr=False, compare=False)

    def decision(self, caller: Caller) -> Decision:
        """Return what ``caller`` sees and why; the same facts of a caller have the same answer."""
        caller = self.leasing(caller)
        decision = self._decided.get(caller)
        if decision is None:
            if len(self._decided) >= MOST_DECISIONS:
                self._decided.clear()
            decision = self._decided[caller] = decide(caller, self.rules)
        return decision

    def leasing(self, caller: Caller) -> Caller:
        """Return ``caller`` with the lease that it is in at this moment, which may end while it is connected."""
        if scope_of(caller) is None:
            return caller
        return replace(caller, lease_role=self.leases.role_of_scope(caller))

    def instance(self, caller: Caller) -> Instance:
        """Return the instance that ``caller`` sees.

        Raises:
            RefusedError: it sees none.
        """
        decision = self.decision(caller)
        if decision.instance is None:
            raise RefusedError(decision.because, kind=decision.refusal, rule=decision.rule)
        return self.instances[decision.instance]


class Audit(Protocol):
    """Records answers."""

    def note(self, request: Request, answer: Answer, caller: Caller, decision: Decision) -> None:
        """Record that credentials were given, or a refusal; never waits."""
        ...


class Service:
    """Answers every request of every listener; ``policy`` may be replaced at any time."""

    def __init__(
        self,
        *,
        policy: Policy,
        metadata: InstanceMetadata,
        containers: ContainerCredentials,
        clock: Clock,
        simulations: Simulations,
        audit: Audit | None = None,
    ) -> None:
        self.policy = policy
        self.turned_away = TurnedAway(clock=clock)
        self._simulations = simulations
        self.hurrying = False
        self.recent = RecentCallers(clock=clock)
        self.audit = audit
        self.tally = Tally()
        self._metadata = metadata
        self._containers = containers
        self._clock = clock
        self._logged: dict[str, float] = {}

    def wanted_facts(self, caller: Caller) -> frozenset[Fact]:
        """Return what has to be looked up of ``caller`` before it can be answered."""
        return self.policy.decision(caller).wants

    def delay(self, request: Request) -> float:
        """Return for how many seconds a simulated latency holds a request up, before anything is decided about it."""
        if not self._simulations or self.hurrying:
            return 0.0
        try:
            self.policy.guards.check(request)
            instance = self.policy.instance(request.caller)
        except RequestError:
            return 0.0
        now = self._clock.now()
        return faults.latency(self._simulations.faults(instance.name, request.caller, now, latency=True))

    async def wait(self, delay: float) -> None:
        """Return after ``delay`` seconds, or once nobody is held up any more."""
        await self._simulations.wait(delay)

    def hurry(self) -> None:
        """Hold nobody up any more: we stop."""
        self.hurrying = True
        self._simulations.end_waits()

    def answer(self, request: Request, *, late: bool = False) -> Answer:
        """Answer ``request``, which a simulated latency may have made ``late``."""
        error_answer, policy, asked = statuses.metadata_error, self.policy, tally.NONE
        failing: tuple[Fault, ...] = ()
        try:
            policy.guards.check(request)
            segments = request.segments
            container = _is_for_containers(request.local_address, segments)
            if container:
                error_answer, asked = statuses.container_error, tally.CONTAINER
            else:
                asked = tally.TOKEN if segments == _TOKEN_PATH else tally.INSTANCE_METADATA
            instance = policy.instance(request.caller)
            self._count(request.caller, instance)
            if not instance.enabled and not container:
                raise RefusedError(
                    f"the metadata service of instance {instance.name} is off (http_endpoint: disabled)",
                    kind=Refusal.HTTP_ENDPOINT,
                )
            if self._simulations:
                failing, instance = self._simulate(request, instance)
            endpoint = self._containers if container else self._metadata
            answer = faults.instead(failing, request) or endpoint.answer(request, segments, instance)
        except RequestError as error:
            self.tally.refused(error)
            answer = error_answer(error)
        if failing or late:
            answer = faults.marked(answer, failing, late=late)
        self.tally.answers[asked, answer.status] += 1
        if answer.because:
            self._log(request, answer)
        return answer

    def _simulate(self, request: Request, instance: Instance) -> tuple[tuple[Fault, ...], Instance]:
        """Return what goes wrong with a request, and its instance as it is simulated."""
        now = self._clock.now()
        failing = self._simulations.faults(instance.name, request.caller, now)
        if not self.policy.allow_faults:
            failing = tuple(fault for fault in failing if fault.kind not in MISDATED)
        role = self._simulations.at(instance.name, now).role
        return failing, faults.changed(instance, role, failing)

    def _count(self, caller: Caller, instance: Instance) -> None:
        """Count a request; what a user's agents ask for in an instance of their own does not count as the user's.

        Raises:
            TooManyRequestsError: there were too many.
        """
        asking = caller.uid if caller.uid is not None else caller.address
        if not self.policy.rate_limit.allows((asking, instance.name), self._clock.elapsed().total_seconds()):
            raise TooManyRequestsError(f"more requests than rate_limit lets {caller} make")

    def is_recorded(self, request: Request, answer: Answer) -> bool:
        """Whether more of the caller shall be known before an answer is sent: credentials, refusals, IMDSv1 clients."""
        if answer.given is not None or answer.status == FORBIDDEN:
            return True
        if request.method == "PUT":
            return answer.status == OK and self.turned_away.may_know_both(request.caller)
        if not _lacks_a_token(request, answer):
            return False
        if self.turned_away.wants(request.caller):
            return True
        self.turned_away.note(Why.NO_TOKEN, request.caller, self.policy.decision(request.caller).instance)
        return False

    def record(self, request: Request, answer: Answer, caller: Caller) -> None:
        """Put an answer on record, with what has been found out of its caller meanwhile."""
        decision = self.policy.decision(request.caller)
        if answer.given is not None:
            self.recent.note(caller, answer.given.role)
        if self.audit is not None and (answer.given is not None or answer.status == FORBIDDEN):
            self.audit.note(request, answer, caller, decision)
        if answer.status == OK and request.method == "PUT":
            self.turned_away.knows_both(caller)
        elif _lacks_a_token(request, answer):
            self.turned_away.note(Why.NO_TOKEN, caller, decision.instance)
        elif answer.status == FORBIDDEN and (why := self._why(request, decision)) is not None:
            self.turned_away.note(why, caller, decision.instance)

    def _why(self, request: Request, decision: Decision) -> Why | None:
        """Return what a refused client lacks; None where a rule means to refuse it."""
        if decision.instance is not None:
            instance = self.policy.instances[decision.instance]
            return Why.HOP_LIMIT if request.method == "PUT" and instance.hop_limit < BEYOND_THIS_HOST else None
        if decision.rule is None:
            return Why.NO_RULE
        caller = self.policy.leasing(request.caller)
        return Why.NOT_KNOWN if self.policy.rules[decision.rule - 1].match.matches(caller) is None else None

    def _log(self, request: Request, answer: Answer) -> None:
        """Say why a request got nothing; refusals aloud, but the same one only once a minute."""
        because = "".join(char if char.isprintable() else "?" for char in answer.because)
        text, kind = (
            f"{answer.status} to {request.caller}: {because}",
            f"{replace(request.caller, user=None)} {because[:12]}",
        )
        level = logging.DEBUG
        if answer.status == FORBIDDEN:
            now = self._clock.elapsed().total_seconds()
            if now - self._logged.get(kind, -REPEAT_AFTER) >= REPEAT_AFTER:
                level = logging.WARNING
                if len(self._logged) > 1000:  # noqa: PLR2004 - a bound, not a tunable
                    self._logged.clear()
                self._logged[kind] = now
        logger.log(level, "%s", text)


def _lacks_a_token(request: Request, answer: Answer) -> bool:
    """Whether a client of the metadata service was turned away because it sent no session token."""
    return (
        answer.status == UNAUTHORIZED
        and not answer.fault
        and TOKEN_HEADER not in request.headers
        and not _is_for_containers(request.local_address, request.segments)
    )


def _is_for_containers(local_address: str, segments: tuple[str, ...]) -> bool:
    """Whether the container-credentials endpoint is asked; EC2's own addresses do not serve it, ECS's nothing else."""
    if local_address in CONTAINER_ADDRESSES:
        return True
    return local_address not in INSTANCE_METADATA_ADDRESSES and bool(segments) and segments[0] in ROOTS
