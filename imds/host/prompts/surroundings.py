"""Where a dialog appears: the desktop that the daemon was started in, or that has come since."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imds.host.prompts import PromptFailedError, UnansweredError
from imds.host.prompts.running import run

if TYPE_CHECKING:
    from collections.abc import Mapping

DISPLAYS = ("WAYLAND_DISPLAY", "DISPLAY")
WANTED = (*DISPLAYS, "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS", "XDG_CURRENT_DESKTOP")
SECONDS = 2.0


async def desktop(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a dialog: ours without AWS's variables, and what systemd knows of a display.

    A user's service may have been started before his desktop, which tells the service manager where it is.
    """
    ours = {name: value for name, value in environment.items() if not name.startswith("AWS_")}
    if any(ours.get(name) for name in DISPLAYS):
        return ours
    try:
        status, written, _ = await run(["systemctl", "--user", "show-environment"], ours, seconds=SECONDS)
    except (PromptFailedError, UnansweredError):
        return ours
    lines = written.decode(errors="replace").splitlines() if status == 0 else []
    known = dict(line.split("=", 1) for line in lines if "=" in line)
    return {name: value for name, value in known.items() if name in WANTED} | ours
