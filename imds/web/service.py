"""From a request to its answer: guards, who is calling, which endpoint. Nothing here waits.

The order, for a security reader: marks of proxies and browsers → the caller's rule → the endpoint that the address
serves → (metadata) session token → method → path, (container) authorization token → its owner → its role.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from imds.core.errors import RefusedError, RequestError, TooManyRequestsError
from imds.core.leases import scope_of
from imds.core.policy import decide
from imds.core.simulation import MISDATED
from imds.web import faults, guards, statuses
from imds.web.container_credentials import ROOTS
from imds.web.recent import RecentCallers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.core.callers import Caller, Fact
    from imds.core.clock import Clock
    from imds.core.instances import Instance
    from imds.core.leases import Leases
    from imds.core.limits import RateLimit
    from imds.core.policy import Decision, Rule
    from imds.core.simulation import Fault, Simulations
    from imds.web.answer import Answer
    from imds.web.container_credentials import ContainerCredentials
    from imds.web.guards import Guards
    from imds.web.instance_metadata import InstanceMetadata
    from imds.web.request import Request

logger = logging.getLogger(__name__)

REPEAT_AFTER = 60.0
"""Seconds for which the same refusal is not logged again."""

FORBIDDEN = 403
MOST_DECISIONS = 1024


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
            raise RefusedError(decision.because)
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
        self._simulations = simulations
        self.hurrying = False
        self.recent = RecentCallers(clock=clock)
        self.audit = audit
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
        error_answer, policy = statuses.metadata_error, self.policy
        failing: tuple[Fault, ...] = ()
        try:
            policy.guards.check(request)
            segments = request.segments
            container = _is_for_containers(request.local_address, segments)
            if container:
                error_answer = statuses.container_error
            instance = policy.instance(request.caller)
            self._count(request.caller, instance)
            if not instance.enabled and not container:
                raise RefusedError(f"the metadata service of instance {instance.name} is off (http_endpoint: disabled)")
            if self._simulations:
                failing, instance = self._simulate(request, instance)
            endpoint = self._containers if container else self._metadata
            answer = faults.instead(failing, request) or endpoint.answer(request, segments, instance)
        except RequestError as error:
            answer = error_answer(error)
        if failing or late:
            answer = faults.marked(answer, failing, late=late)
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

    def is_recorded(self, answer: Answer) -> bool:
        """Whether an answer goes on record: credentials, and refusals."""
        return self.audit is not None and (answer.given is not None or answer.status == FORBIDDEN)

    def record(self, request: Request, answer: Answer, caller: Caller) -> None:
        """Put an answer on record, with what has been found out of its caller meanwhile."""
        if answer.given is not None:
            self.recent.note(caller, answer.given.role)
        if self.audit is not None:
            self.audit.note(request, answer, caller, self.policy.decision(request.caller))

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


def _is_for_containers(local_address: str, segments: tuple[str, ...]) -> bool:
    """Whether the container-credentials endpoint is asked; EC2's own addresses do not serve it, ECS's nothing else."""
    if local_address in guards.CONTAINER_ADDRESSES:
        return True
    return local_address not in guards.INSTANCE_METADATA_ADDRESSES and bool(segments) and segments[0] in ROOTS
