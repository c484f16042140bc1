"""One task for every role, and the sources that they share."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING, Any

from imds.config.schema import FromRole
from imds.core.refresher import keep_fresh

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from imds.aws.sources import Source
    from imds.config.schema import Role
    from imds.core.clock import Clock
    from imds.core.roles import SessionIssuer
    from imds.core.schedule import Schedule
    from imds.core.store import Store

Chain = tuple["Role", ...]
"""A role and the roles that it comes from, the one with the profile last."""


class Keepers:
    """Starts, keeps and stops the writers of the store."""

    def __init__(self, *, store: Store, clock: Clock, schedule: Schedule, random: Random) -> None:
        self._store = store
        self._clock = clock
        self._schedule = schedule
        self._random = random
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._chains: dict[str, tuple[str | None, Chain]] = {}
        self._sources: dict[str | None, Source] = {}
        self._group: asyncio.TaskGroup | None = None
        self._region: str | None = None
        self._threads: Any = None
        self.issuers: dict[str, Any] = {}

    def live_in(self, group: asyncio.TaskGroup) -> None:
        """Start tasks in ``group`` from now on."""
        self._group = group

    async def load_botocore(self) -> None:
        """Import what is slow to import, in a thread."""
        for module in ("imds.aws.issuers", "imds.aws.sources.profile", "imds.aws.sources.role"):
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
        if region != self._region:
            self._region = region
            self._sources.clear()
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
            self._start(name, self._issuer(roles, name))

    def root_profile(self, roles: Mapping[str, Role], name: str) -> str | None:
        """Return the profile at the beginning of a role's chain."""
        source = chain(roles, name)[-1].source
        return None if isinstance(source, FromRole) else source.profile

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
                schedule=self._schedule,
                random=self._random,
            ),
            name=f"role {name}",
        )

    def _issuer(self, roles: Mapping[str, Role], name: str) -> SessionIssuer:
        from imds.aws.issuers import AssumedRole, OwnSession  # noqa: PLC0415 - as above
        from imds.aws.sources.role import RoleSource  # noqa: PLC0415 - as above

        role = roles[name]
        source = self._profile_source(self.root_profile(roles, name))
        if isinstance(role.source, FromRole):
            source = RoleSource(role=role.source.role, root=source, store=self._store)
        if role.session is None:
            return OwnSession(duration=role.duration, source=source, threads=self._threads)
        return AssumedRole(session=role.session, source=source, threads=self._threads)

    def _profile_source(self, profile: str | None) -> Source:
        from imds.aws.sources.profile import ProfileSource  # noqa: PLC0415 - as above

        if profile not in self._sources:
            self._sources[profile] = ProfileSource(profile=profile, region=self._region, threads=self._threads)
        return self._sources[profile]


def profile_region(profile: str | None) -> str:
    """Return the region that a profile names, AWS's first one where it names none; blocks."""
    from imds.aws.sources.profile import FALLBACK_REGION, profile_region  # noqa: PLC0415 - botocore is slow to import

    try:
        return profile_region(profile) or FALLBACK_REGION
    except Exception:  # noqa: BLE001 - a wrong profile is the role's failure, told there
        return FALLBACK_REGION


def chain(roles: Mapping[str, Role], name: str) -> Chain:
    """Return a role and the roles that it comes from; the configuration has no loops."""
    role = roles[name]
    return (role, *chain(roles, role.source.role)) if isinstance(role.source, FromRole) else (role,)
