"""How the daemon is, for probes: does it live, and is every role ready."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING, Any

from imds.config.schema import Listen
from imds.core.readiness import Unready, unready
from imds.core.refreshes import bounded_code
from imds.core.timestamps import timestamp
from imds.host import listeners
from imds.host.listeners import Address

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from imds.daemon import Daemon
    from imds.web.guards import Guards

PORTION = 100
"""Roles that are looked at in one go."""


def open_admin_sockets(wanted: Iterable[Listen | Path]) -> list[socket.socket]:
    """Return a listening socket for each address or path.

    Raises:
        AddressTakenError: one cannot be had; none stays open.
    """
    opened: list[socket.socket] = []
    try:
        for place in wanted:
            if isinstance(place, Listen):
                opened.append(listeners.listen(Address(place.host, place.port), setting="admin_listen"))
            else:
                opened.append(listeners.listen_private(place, f"admin_listen {place}", "admin_listen"))
    except Exception:
        for listener in opened:
            listener.close()
        raise
    return opened


class DaemonHealth:
    """What a daemon tells its supervisors."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    @property
    def guards(self) -> Guards:
        """The checks in force on a request's head."""
        return self._daemon.service.policy.guards

    def ailing(self) -> list[str]:
        """Return the parts of the daemon that do not live any more; that we answer shows that the event loop does."""
        daemon = self._daemon
        ailing = [f"the task of role {role} has ended" for role in daemon.keepers.ended]
        if daemon.audit_log is not None and not daemon.audit_log.lives:
            ailing.append("the thread of the audit log has ended")
        return ailing

    async def readiness(self) -> dict[str, Any]:
        """Return whether we are ready and how each role is; a look at the clocks first, which a wake may have moved."""
        daemon = self._daemon
        daemon.clock.notice()
        roles: dict[str, Any] = {}
        for number, name in enumerate(daemon.config.kept, start=1):
            roles[name] = self._role(name)
            if not number % PORTION:
                await asyncio.sleep(0)  # a thousand at once would hold clients up
        why = "starting" if not daemon.ready.is_set() else "stopping" if daemon.stopping else None
        ready = why is None and all(role["ready"] for role in roles.values())
        return {"ready": ready} | ({"reason": why} if why else {}) | {"roles": roles}

    def role(self, name: str) -> dict[str, Any] | None:
        """Return how one role is, None where there is none of that name."""
        self._daemon.clock.notice()
        return self._role(name) if name in self._daemon.config.kept else None

    def _role(self, name: str) -> dict[str, Any]:
        """Return how a role is, in words that anybody on this host may read."""
        store = self._daemon.store
        state = store.state(name)
        why = unready(state, store)
        told: dict[str, Any] = {"ready": why is None}
        if why is not None:
            told["reason"] = why.value
        if state is not None and state.failure is not None:
            told |= {"action": state.failure.action.value, "code": bounded_code(state.failure.code)}
        if state is not None and state.credentials is not None and why is not Unready.STARTING:
            told["expiration"] = timestamp(state.credentials.expiration)
            told["remaining_seconds"] = max(0, int(store.remaining(state).total_seconds()))
        return told

    async def metrics(self) -> AsyncIterator[bytes]:
        """Yield the metrics; the library is loaded, in a thread, only when somebody asks."""
        module = await asyncio.to_thread(importlib.import_module, "imds.daemon.metrics")
        self._daemon.clock.notice()
        for part in module.expose(self._daemon):
            yield part
