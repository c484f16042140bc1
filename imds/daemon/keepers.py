"""One task for every role, and the sources that they share."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING, Any

from imds.config.sources import base_role
from imds.core.errors import BadRequestError
from imds.core.refresher import keep_fresh
from imds.daemon.building import Builder, World, root_source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from imds.config.schema import Role
    from imds.core.clock import Clock
    from imds.core.schedule import Schedule
    from imds.core.skew import Skew
    from imds.core.store import Store

Chain = tuple["Role", ...]
"""A role and the roles that it comes from, the one at the beginning last."""

Regions = tuple[str | None, str | None]
"""The operator's region (None means each profile's own), and whose STS is asked when its own cannot be reached."""


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
        self._chains: dict[str, tuple[Regions, Chain]] = {}
        self._roles: Mapping[str, Role] = {}
        self._builder: Builder | None = None
        self._group: asyncio.TaskGroup | None = None
        self._regions: Regions = (None, None)
        self._threads: Any = None
        self.issuers: dict[str, Any] = {}

    def live_in(self, group: asyncio.TaskGroup) -> None:
        """Start tasks in ``group`` from now on."""
        self._group = group

    async def load_botocore(self) -> None:
        """Import what is slow to import, in a thread."""
        for module in ("imds.aws.issuers", "imds.aws.sources.profile"):
            await asyncio.to_thread(importlib.import_module, module)
        from imds.aws.threads import AwsThreads  # noqa: PLC0415 - botocore is loaded only now

        self._threads = AwsThreads()

    def apply(self, roles: Mapping[str, Role], regions: Regions) -> None:
        """Keep ``roles`` fresh, and nothing else; one whose chain is unchanged keeps its session and schedule."""
        self._roles = roles
        if self._threads is None:
            for name in roles:
                self._store.add(name)
            return
        builder = self._build(regions)
        chains = {name: (regions, chain(roles, name)) for name in roles}
        for name in [name for name in self._tasks if chains.get(name) != self._chains[name]]:
            self._tasks.pop(name).cancel()
            self._store.remove(name)
            self.issuers.pop(name, None)
        started = [name for name in roles if name not in self._tasks]
        for name in started:
            self._store.add(name)
        self._chains = chains
        for name in started:
            self.issuers[name] = builder.issuer(roles, name)
            self._start(name)

    async def give_mfa_code(self, role: str, code: str) -> list[str]:
        """Try ``code`` at once for the source of ``role``; return the names of all roles that it opens.

        Raises:
            BadRequestError: the role's source takes no codes.
            CredentialsError: AWS does not take it; it is not tried again.
        """
        source = root_source(self._roles, self._roles[role].source)
        unwanted = BadRequestError(f"role {role} comes from {source}, which takes no MFA code: see mfa_serial")
        codes = self._builder.codes.get(source) if self._builder is not None else None
        if self._builder is None or codes is None:
            raise unwanted
        shared = self._builder.shared_source(source)
        try:
            await shared.retry(self._clock.now(), first=lambda: codes.give(code))
        finally:
            unused = codes.forget()
        if unused:
            raise unwanted
        opened = [name for name, one in self._roles.items() if root_source(self._roles, one.source) == source]
        for name in opened:
            self._wake(name)
        return opened

    def _wake(self, role: str) -> None:
        """Let a role that waits for its next attempt make it now."""
        state = self._store.state(role)
        if state is not None and state.next_attempt is not None and state.next_attempt > self._clock.now():
            self._tasks.pop(role).cancel()
            self._start(role)

    def _build(self, regions: Regions) -> Builder:
        if self._builder is None or regions != self._regions:
            self._regions = regions
            region, second_region = regions
            self._builder = Builder(
                World(
                    store=self._store,
                    threads=self._threads,
                    environment=self._environment,
                    region=region,
                    second_region=second_region,
                    measure=self._skew.observe,
                    is_own=self._is_own,
                )
            )
        return self._builder

    @property
    def sts_calls(self) -> dict[str, float]:
        """How often STS was asked since the start, and how often a second it may be."""
        from imds.aws.budget import CALLS_PER_SECOND  # noqa: PLC0415 - the daemon listens first

        return {"made": self._threads.budget.made if self._threads else 0, "most_per_second": CALLS_PER_SECOND}

    def close(self) -> None:
        """Give the threads up."""
        if self._threads is not None:
            self._threads.close()

    def _start(self, name: str) -> None:
        if self._group is None:
            raise RuntimeError("live_in comes first")
        self._tasks[name] = self._group.create_task(
            keep_fresh(
                name,
                issuer=self.issuers[name],
                store=self._store,
                clock=self._clock,
                skew=self._skew,
                schedule=self._schedule,
                random=self._random,
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


def chain(roles: Mapping[str, Role], name: str) -> Chain:
    """Return a role and the roles that it comes from; the configuration has no loops."""
    role = roles[name]
    other = base_role(role.source)
    return (role, *chain(roles, other)) if other is not None else (role,)
