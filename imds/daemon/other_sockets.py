"""The sockets beside those of clients: the control socket, and health and metrics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from imds.daemon.controls import DaemonControls
from imds.daemon.health import DaemonHealth, open_admin_sockets
from imds.host import listeners
from imds.web.admin import serve_admin
from imds.web.control import control_application

if TYPE_CHECKING:
    import contextlib

    from imds.daemon import Daemon


async def serve_control(daemon: Daemon, path: Path, stack: contextlib.AsyncExitStack) -> None:
    """Answer at the control socket until ``stack`` is closed.

    Raises:
        AddressTakenError: it is somebody else's.
    """
    group = daemon.config.control_group
    listener = listeners.listen_control(path, group)
    # whoever the socket's mode lets through; the rules decide what they get
    allowed = frozenset({daemon.uid, 0}) if group is None else None
    app = control_application(
        DaemonControls(daemon), daemon.leasing, daemon.activating, daemon.approving, allowed_uids=allowed
    )
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0, auto_decompress=False)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    stack.callback(path.unlink, missing_ok=True)  # before the listener closes: a successor may bind there then
    await web.SockSite(runner, listener, backlog=listeners.BACKLOG).start()


async def serve_health(daemon: Daemon, stack: contextlib.AsyncExitStack) -> list[str]:
    """Answer at ``admin_listen`` until ``stack`` is closed; return the places.

    Raises:
        AddressTakenError: one is somebody else's.
    """
    opened = open_admin_sockets(daemon.config.admin_listen)
    if not opened:
        return []
    places = [listeners.place_of(listener) for listener in opened]
    stack.push_async_callback(await serve_admin(DaemonHealth(daemon), opened))
    for place in daemon.config.admin_listen:
        if isinstance(place, Path):
            stack.callback(place.unlink, missing_ok=True)
    return places
