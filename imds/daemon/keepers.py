"""One task for every role, and the sources that they share."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING, Any

from imds.config.source_kinds import FromRole
from imds.core.refresher import keep_fresh
from imds.daemon.building import Builder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from imds.config.schema import Role
    from imds.core.clock import Clock
    from imds.core.roles import SessionIssuer
    from imds.core.schedule import Schedule
    from imds.core.skew import Skew
    from imds.core.store import Store

Chain = tuple["Role", ...]
"""A role and the roles that it comes from, the one with the profile last."""


class Keepers:
    """Starts, keeps and stops the writers of the store."""

    def __init__(self, *, store: Store, clock: Clock, skew: Skew, schedule: Schedule, random: Random) -> None:
        self._store = store
        self._skew = skew
        self._clock = clock
        self._schedule = schedule
        self._random = random
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._chains: dict[str, tuple[str | None, Chain]] = {}
        self._builder: Builder | None = None
        self._group: asyncio.TaskGroup | None = None
        self._region: str | None = None
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

    def apply(self, roles: Mapping[str, Role], region: str | None) -> None:
        """Keep ``roles`` fresh, and nothing else; one whose chain is unchanged keeps its session and schedule.

        Args:
            roles: by name.
            region: the operator's; None means each profile's own.
        """
        if self._threads is None:
            for name in roles:
                self._store.add(name)
            return
        if self._builder is None or region != self._region:
            self._region = region
            self._builder = Builder(
                store=self._store, threads=self._threads, region=region, clock=self._clock, skew=self._skew
            )
        chains = {name: (region, chain(roles, name)) for name in roles}
        for name in [name for name in self._tasks if chains.get(name) != self._chains[name]]:
            self._tasks.pop(name).cancel()
            self._store.remove(name)
            self.issuers.pop(name, None)
        started = [name for name in roles if name not in self._tasks]
        for name in started:
            self._store.add(name)
        self._chains = chains
        for name in started:
            self._start(name, self._builder.issuer(roles, name))

    @property
    def sts_calls(self) -> dict[str, float]:
        """How often STS was asked since the start, and how often a second it may be."""
        from imds.aws.budget import CALLS_PER_SECOND  # noqa: PLC0415 - the daemon listens first

        return {"made": self._threads.budget.made if self._threads else 0, "most_per_second": CALLS_PER_SECOND}

    def close(self) -> None:
        """Give the threads up."""
        if self._threads is not None:
            self._threads.close()

    def _start(self, name: str, issuer: SessionIssuer) -> None:
        if self._group is None:
            raise RuntimeError("live_in comes first")
        self.issuers[name] = issuer
        self._tasks[name] = self._group.create_task(
            keep_fresh(
                name,
                issuer=issuer,
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
    return (role, *chain(roles, role.source.role)) if isinstance(role.source, FromRole) else (role,)
