"""Shows a notification on the desktop of the daemon's user, by ``busctl``, which takes every text as it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from imds.core.errors import NotifyError
from imds.host.notifying.command import run_program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.host.notifying.command import Ended

SERVICE = ("org.freedesktop.Notifications", "/org/freedesktop/Notifications", "org.freedesktop.Notifications")
"""Bus name, object and interface of the Desktop Notifications Specification."""

MARKUP = b'"body-markup"'
"""The capability of a desktop that reads markup in a notification's body."""

ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
NO_TIMEOUT, URGENT = "0", "2"
"""A notification stays until somebody has seen it."""


async def show(subject: str, message: str, *, environment: Mapping[str, str], longest: float) -> None:
    """Show a notification; nothing in its texts is markup.

    Args:
        subject: one line; the specification knows no markup there.
        message: a few lines.
        environment: the daemon's, which names the bus; else the bus of this user's session is looked for.
        longest: seconds.

    Raises:
        NotifyError: there is no desktop, or it did not take it.
    """
    variables = {"PATH": environment.get("PATH", os.defpath)} | _bus(environment)
    asked = await _call("GetCapabilities", (), variables, longest)
    body = message.translate(ESCAPES) if MARKUP in asked.printed else message
    hints = ("1", "urgency", "y", URGENT)
    await _call(
        "Notify", ("susssasa{sv}i", "imds", "0", "", subject, body, "0", *hints, NO_TIMEOUT), variables, longest
    )


def _bus(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variable that leads to the bus of the user's session.

    Raises:
        NotifyError: there is none.
    """
    address = environment.get("DBUS_SESSION_BUS_ADDRESS")
    if not address:
        path = Path(environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}", "bus")
        if not path.exists():
            raise NotifyError(f"no desktop: there is no session bus at {path}")
        address = f"unix:path={path}"
    return {"DBUS_SESSION_BUS_ADDRESS": address}


async def _call(method: str, arguments: tuple[str, ...], variables: Mapping[str, str], longest: float) -> Ended:
    command = ("busctl", "--user", "--json=short", "call", "--", *SERVICE, method, *arguments)
    try:
        ended = await run_program(command, content=b"", environment=variables, longest=longest)
    except NotifyError as error:
        raise NotifyError(f"busctl (a program of systemd) {error}") from error
    if ended.status != 0:
        raise NotifyError(f"the desktop did not take it: {ended.last_word}")
    return ended
