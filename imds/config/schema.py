"""The configuration as frozen values: what the rest of the program is built from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from imds.config.break_glass import BreakGlass
    from imds.config.channels import Channel
    from imds.config.sources import Source
    from imds.core.instances import Instance
    from imds.core.policy import Rule
    from imds.core.roles import RoleSession


DEFAULT_RATE_LIMIT = 1000
"""Requests a second; ten seconds' worth may come at once, which is a herd of three thousand programs."""

NO_AUDIT = Path("none")
"""``audit_log: none``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One entry of ``roles``.

    Attributes:
        source: where the credentials come from that assume it.
        session: the AssumeRole request; None serves the source's own session.
        duration: how long sessions are asked to live.
        stamp: what of who asked and why is put on its sessions for one consumer: ``tags``, ``source_identity``.
        break_glass: what comes before anybody is given it; None for a role that is simply there.
    """

    source: Source
    session: RoleSession | None
    duration: timedelta
    stamp: tuple[str, ...] = ()
    break_glass: BreakGlass | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """One entry of ``listen``; ``required`` is false for an address that is only used where it is present."""

    host: str
    port: int
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything the daemon is told.

    Attributes:
        path: the file, None without one.
        region: as the operator wrote it; None means the profile's.
        sts_second_region: whose STS is asked when the region's own cannot be reached; None means us-east-1
            or us-west-2, or their like of the same partition; ``none`` no other.
        listen: where to listen.
        allowed_hosts: further names that a ``Host`` header may have.
        control_socket: None means the usual place.
        control_group: whose members may use it too, for what the rules give them; None for nobody else.
        rate_limit: requests a second of one caller; None is no limit.
        audit_log: where answers are recorded; None means the usual place, ``NO_AUDIT`` nowhere.
        audit_fsync: ``never``, ``second`` or ``line``.
        allow_faults: whether a simulated fault may make documents tell a false expiry.
        persist_sessions: where sessions are kept for the next daemon, the first that can be used; None means
            systemd's file descriptor store where there is one.
        persist_key_file: what the place ``file`` is encrypted with; None means systemd's credential, else nothing.
        reload_on_change: whether the daemon reads the file again by itself.
        require_container_token: whether a container needs the token of its lease; without, the lease's URL is enough
            where the rules give the container the lease's instance.
        notify: who is told that a role waits for an MFA code.
        admin_listen: where health and metrics are: loopback addresses, and paths of unix sockets.
        roles: by name, in the file's order.
        instances: by name; ``default`` is always there.
        callers: the rules, in order.
    """

    path: Path | None
    region: str | None
    listen: tuple[Listen, ...]
    roles: Mapping[str, Role]
    instances: Mapping[str, Instance]
    callers: tuple[Rule, ...]
    allowed_hosts: frozenset[str] = field(default_factory=frozenset)
    control_socket: Path | None = None
    control_group: str | None = None
    sts_second_region: str | None = None
    rate_limit: int | None = DEFAULT_RATE_LIMIT
    audit_log: Path | None = None
    audit_fsync: str = "never"
    allow_faults: bool = False
    persist_sessions: tuple[str, ...] | None = None
    persist_key_file: Path | None = None
    reload_on_change: bool = False
    require_container_token: bool = True
    admin_listen: tuple[Listen | Path, ...] = ()
    notify: tuple[Channel, ...] = ()

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Every channel that somebody may be told over."""
        guards = [role.break_glass for role in self.roles.values() if role.break_glass is not None]
        return (*self.notify, *(channel for guard in guards for channel in guard.notify))

    @property
    def guarded(self) -> frozenset[str]:
        """The break-glass roles."""
        return frozenset(name for name, role in self.roles.items() if role.break_glass is not None)

    @property
    def kept(self) -> tuple[str, ...]:
        """The roles that are kept fresh: all but the break-glass roles."""
        return tuple(name for name, role in self.roles.items() if role.break_glass is None)
