"""One task for every role, and the sources that they share."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING, Any

from imds.aws.budget import CALLS_PER_SECOND
from imds.aws.calls import Calls
from imds.config.chains import chain, digest
from imds.core.errors import BadRequestError
from imds.core.refresher import keep_fresh
from imds.core.schedule import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime
    from pathlib import Path
    from random import Random

    from imds.aws.clients import Clients
    from imds.aws.sts import SourceCredentials
    from imds.aws.threads import AwsThreads
    from imds.config.chains import Chain
    from imds.config.schema import Role
    from imds.core.clock import Clock
    from imds.core.roles import RoleSession, SessionIssuer
    from imds.core.schedule import Schedule
    from imds.core.skew import Skew
    from imds.core.store import Store
    from imds.daemon.building import Builder


class Keepers:
    """Starts, keeps and stops the writers of the store.

    Args:
        store: what they write to.
        clock: the machine's.
        skew: told AWS's time.
        schedule: when sessions are renewed.
        random: for jitter.
        environment: the daemon's, as it was started.
        is_own: whether this daemon answers at an IP address and a port.

    Attributes:
        builder: of what issues their sessions; None while botocore is not loaded.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        skew: Skew,
        schedule: Schedule,
        random: Random,
        environment: Mapping[str, str],
        is_own: Callable[[str, int], bool],
    ) -> None:
        self._store = store
        self._skew = skew
        self._clock = clock
        self._schedule = schedule
        self._random = random
        self._environment = environment
        self._is_own = is_own
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._leases: dict[str, asyncio.Task[None]] = {}
        self._chains: dict[str, tuple[str | None, Chain]] = {}
        self._digests: dict[str, str] = {}
        self._first: dict[str, datetime] = {}
        self._roles: Mapping[str, Role] = {}
        self.builder: Builder | None = None
        self._group: asyncio.TaskGroup | None = None
        self._region: str | None = None
        self._second_region: str | None = None
        self._building: Any = None
        self._threads: AwsThreads | None = None
        self.issuers: dict[str, SessionIssuer] = {}
        self.calls = Calls()

    def live_in(self, group: asyncio.TaskGroup) -> None:
        """Start tasks in ``group`` from now on."""
        self._group = group

    async def load_botocore(self) -> None:
        """Import what is slow to import, in a thread."""
        self._building = await asyncio.to_thread(importlib.import_module, "imds.daemon.building")
        from imds.aws.threads import AwsThreads  # noqa: PLC0415 - botocore is loaded only now

        self._threads = AwsThreads()

    def apply(self, roles: Mapping[str, Role], region: str | None, second_region: str | None) -> None:
        """Keep ``roles`` fresh, and nothing else; one whose chain is unchanged keeps its session and schedule.

        A break-glass role is known only, for its activations.

        Args:
            roles: by name.
            region: the operator's; None means each profile's own.
            second_region: whose STS is asked when that of the first cannot be reached.
        """
        self._roles = roles
        self._second_region = second_region
        chains = {name: (region, chain(roles, name)) for name in roles}
        for name in [name for name in self._chains if chains.get(name) != self._chains[name]]:
            self._forget(name)
        self._chains = chains
        kept = [name for name, role in roles.items() if role.break_glass is None]
        for name in kept:
            self._store.add(name)
        if self._threads is None:
            return
        builder = self._build(region)
        for name in [name for name in kept if name not in self._tasks]:
            self.issuers[name] = builder.issuer(roles, name)
            self._start(name, first=self._first.pop(name, None))

    def _forget(self, role: str) -> None:
        if (task := self._tasks.pop(role, None)) is not None:
            task.cancel()
        self._store.remove(role)
        self.issuers.pop(role, None)
        self._first.pop(role, None)
        self._digests.pop(role, None)

    def begin(self, role: str, first: datetime) -> None:
        """Renew a role that has credentials of an earlier daemon at ``first``, unless it is changed before."""
        self._first[role] = first

    def configured(self, role: str) -> str | None:
        """Return a digest of a role as it is kept fresh now; None for one that is not."""
        if role not in self._chains:
            return None
        if role not in self._digests:
            region, roles = self._chains[role]
            self._digests[role] = digest(roles, region, self._environment)
        return self._digests[role]

    def origin(self, role: str) -> tuple[Path, ...] | None:
        """Return the files at the beginning of a role's chain; None while botocore is not loaded."""
        if self._threads is None or role not in self._chains:
            return None
        return self._build(self._chains[role][0]).origin(self._roles, role)

    def basis(self, role: str) -> object:
        """Return what the sessions of a role rest on; it differs once a reload has changed any of that."""
        return self._chains.get(role)

    def keep_lease(self, key: str, role: str, session: RoleSession, ends: datetime) -> None:
        """Keep a session of its own fresh in the store under ``key``, and renew none that lasts until ``ends``.

        Raises:
            BadRequestError: we have only just started.
        """
        if self.builder is None:
            raise BadRequestError("the daemon has only just started: try again in a moment")
        issuer = self.builder.leased(self._roles, role, session, ends)
        self._store.add(key)
        self.issuers[key] = issuer
        self._leases[key] = self._task(key, until(lambda: ends + self._skew.noticed, self._schedule))

    def end_lease(self, key: str) -> None:
        """Forget what ``keep_lease`` keeps."""
        task = self._leases.pop(key, None)
        if task is not None:
            task.cancel()
        self._store.remove(key)
        self.issuers.pop(key, None)

    async def call_aws(
        self,
        roles: Mapping[str, Role],
        call: Callable[[Clients, SourceCredentials], Any],
        *,
        as_role: str | None,
        source_of: str | None,
    ) -> None:
        """Call AWS with the credentials of a role, or else with those that another one is assumed with.

        Raises:
            BadRequestError: we have only just started.
            CredentialsError: there are no credentials, or AWS does not do it.
        """
        if self.builder is None or self._threads is None:
            raise BadRequestError("the daemon has only just started: try again in a moment")
        source, clients = self.builder.credentials_of(roles, as_role, source_of)
        opened = await source.open(self._clock.now())
        # not where sessions are asked for: whom it calls may hang
        await self._threads.load(lambda: call(clients, opened.credentials))

    async def refresh(self, roles: Iterable[str], patience: float) -> None:
        """Renew the sessions of ``roles`` now, and wait for the outcome, ``patience`` seconds at most."""
        if self.builder is None:
            raise BadRequestError("the daemon has only just started: try again in a moment")
        self.builder.forget_failures()
        waiting = []
        for name in roles:
            state = self._store.state(name)
            if state is not None:
                state.ended.clear()
                waiting.append(asyncio.ensure_future(state.ended.wait()))
                self.wake(name)
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=patience)
            for one in late:
                one.cancel()

    def retry_failed(self) -> None:
        """Try every role that has failed again at once."""
        if self.builder is None:
            return
        self.builder.forget_failures()
        for name in self._roles:
            state = self._store.state(name)
            if state is not None and state.failure is not None:
                self.wake(name)

    def wake(self, role: str) -> None:
        """Let a role that waits for its next attempt make it now."""
        state = self._store.state(role)
        if state is not None and state.next_attempt is not None and state.next_attempt > self._clock.now():
            self._tasks.pop(role).cancel()
            self._start(role)

    def _build(self, region: str | None) -> Builder:
        if self.builder is None or region != self._region:
            self._region = region
            self.builder = self._building.Builder(
                self._building.World(
                    store=self._store,
                    threads=self._threads,
                    environment=self._environment,
                    region=region,
                    second_region=lambda: self._second_region,
                    clock=self._clock,
                    measure=self._skew.observe,
                    is_own=self._is_own,
                    calls=self.calls,
                )
            )
        builder: Builder = self.builder
        return builder

    @property
    def session_budget(self) -> dict[str, float]:
        """How many sessions AWS was asked for since the start, and how many a second it may be asked for."""
        asked = self._threads.budget.made if self._threads is not None else 0
        return {"asked": asked, "most_per_second": CALLS_PER_SECOND}

    @property
    def ended(self) -> list[str]:
        """The roles whose task is over, which none ever is."""
        return [name for name, task in self._tasks.items() if task.done()]

    def close(self) -> None:
        """Give the threads up."""
        if self._threads is not None:
            self._threads.close()

    def _start(self, name: str, *, first: datetime | None = None) -> None:
        self._tasks[name] = self._task(name, self._schedule, first=first)

    def _task(self, name: str, schedule: Schedule, *, first: datetime | None = None) -> asyncio.Task[None]:
        if self._group is None:
            raise RuntimeError("live_in comes first")
        return self._group.create_task(
            keep_fresh(
                name,
                issuer=self.issuers[name],
                store=self._store,
                clock=self._clock,
                skew=self._skew,
                schedule=schedule,
                random=self._random,
                first=first,
            ),
            name=f"role {name}",
        )


def profile_region(profile: str | None) -> str:
    """Return the region that a profile names, AWS's first one where it names none; blocks."""
    from imds.aws.clients import FALLBACK_REGION, profile_region  # noqa: PLC0415 - botocore is slow to import

    try:
        return profile_region(profile) or FALLBACK_REGION
    except Exception:  # noqa: BLE001 - a wrong profile is the role's failure, told there
        return FALLBACK_REGION
