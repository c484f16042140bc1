"""Who is told what of break-glass roles and of roles that wait, and when; how it gets there is ``notifying``."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from imds.core.errors import RefusedError
from imds.core.notices import ACTIVATED, ASKED, ENDED, REFUSED, WAITING, Notice
from imds.daemon.notifying import failed

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from imds.config.break_glass import BreakGlass
    from imds.config.channels import Channel
    from imds.core.approvals import Asked
    from imds.core.leases import Lease
    from imds.daemon import Daemon


class Telling:
    """Tells; but for that somebody has a role, nobody waits until it is done."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._channels: dict[str, tuple[Channel, ...]] = {}
        self._under_way: set[asyncio.Task[object]] = set()

    @property
    def busy(self) -> bool:
        """Whether somebody is being told something that nobody waits for."""
        return bool(self._under_way)

    async def activated(self, lease: Lease, guard: BreakGlass, by: str) -> str:
        """Tell everybody that somebody has a role; return who was told, for the record.

        Args:
            lease: the activation.
            guard: its terms.
            by: who has approved it, empty for nobody.

        Raises:
            RefusedError: somebody could not be told who must be.
        """
        if not guard.notify:
            return "nobody is to be told"
        self._channels[lease.id] = guard.notify  # who hears of it hears of its end, whatever a reload says by then
        outcomes = await self._daemon.notifying.tell(
            guard.notify, self._of_lease(ACTIVATED, lease, by), source_of=lease.role
        )
        reached = [one.channel for one in outcomes if one.ok]
        wrong = failed(outcomes) if reached else outcomes
        if wrong and guard.refuse_untold:
            if not reached:
                del self._channels[lease.id]
            untold = "; ".join(f"{one.channel}: {one.error}" for one in wrong)
            raise RefusedError(f"not everybody could be told, so nothing is given: {untold}")
        missed = ", ".join(one.channel for one in outcomes if not one.ok)
        return f"told: {', '.join(reached) or 'nobody'}" + (f"; not told: {missed}" if missed else "")

    def refused(self, lease: Lease, because: str) -> None:
        """Tell who was told that somebody has a role that AWS has not given it, or something else has come between."""
        self._over(REFUSED, lease, because, self._channels.pop(lease.id, ()))

    def ended(self, lease: Lease, because: str) -> None:
        """Tell who was told that somebody has a role of its end; after a crash whoever the configuration names."""
        role = self._daemon.config.roles.get(lease.role)
        configured = role.break_glass.notify if role is not None and role.break_glass is not None else ()
        self._over(ENDED, lease, because, self._channels.pop(lease.id, configured))

    def asked(self, asked: Asked) -> None:
        """Tell that somebody asks for a role and has to be approved."""
        role = self._daemon.config.roles.get(asked.role)
        if role is None or role.break_glass is None or not role.break_glass.notify:
            return
        notice = Notice(
            event=ASKED,
            at=asked.at,
            role=asked.role,
            role_arn=role.session.role_arn if role.session is not None else None,
            id=asked.id,
            user=asked.asker,
            uid=asked.uid,
            instance=asked.instance,
            reason=asked.reason,
            because=f"to be approved by {', '.join(asked.approvers)}",
            host=socket.gethostname(),
        )
        self.later(self._daemon.notifying.tell(role.break_glass.notify, notice, source_of=asked.role))

    def waiting(self, roles: tuple[str, ...], what: str) -> None:
        """Tell who is named in ``notify`` that roles wait for a person, and for what."""
        channels = self._daemon.config.notify
        if channels:
            notice = Notice(
                event=WAITING,
                at=self._daemon.clock.now(),
                role=roles[0],
                user=f"uid {self._daemon.uid}",
                uid=self._daemon.uid,
                because=what if len(roles) == 1 else f"{what} (for {', '.join(roles)})",
                host=socket.gethostname(),
            )
            self.later(self._daemon.notifying.tell(channels, notice))

    def later(self, work: Coroutine[Any, Any, object]) -> None:
        """Do what nobody waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def _over(self, event: str, lease: Lease, because: str, channels: tuple[Channel, ...]) -> None:
        if channels:
            notice = self._of_lease(event, lease, because)
            self.later(self._daemon.notifying.tell(channels, notice, source_of=lease.role))

    def _of_lease(self, event: str, lease: Lease, because: str) -> Notice:
        return Notice(
            event=event,
            at=self._daemon.clock.now(),
            role=lease.role,
            role_arn=lease.role_arn,
            id=lease.id,
            user=lease.user or f"uid {lease.owner}",
            uid=lease.owner,
            instance=lease.instance,
            reason=lease.reason,
            ends=lease.ends,
            because=because,
            host=socket.gethostname(),
        )
