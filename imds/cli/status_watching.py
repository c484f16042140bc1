"""``imds status --watch``: asks the daemon once a second and shows how it is."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from imds.cli.control_client import find_daemon
from imds.cli.status_view import view
from imds.core.errors import ImdsError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

EVERY = 1.0
"""Seconds."""


def watch(socket_path: Path | None) -> None:
    """Show the status until Ctrl-C; a daemon that is away is waited for, with the last status in sight.

    Raises:
        ImdsError: there is none at the beginning.
    """
    console = Console()
    last = find_daemon(socket_path).call("GET", "status")
    live = Live(_screen(console, last, None), console=console, screen=True, auto_refresh=False)
    try:  # not a with: Ctrl-C while it starts must restore the screen too
        live.start(refresh=True)
        while True:
            time.sleep(EVERY)
            trouble = None
            try:
                last = find_daemon(socket_path).call("GET", "status")
            except ImdsError as error:
                trouble = str(error)
            live.update(_screen(console, last, trouble), refresh=True)
    finally:
        live.stop()


def _screen(console: Console, status: dict[str, Any], trouble: str | None) -> RenderableType:
    shown = view(status, now=datetime.now(UTC), width=console.width, height=console.height - 1)
    foot = Text("Ctrl-C ends this", style="dim") if trouble is None else Text(f"not current: {trouble}", style="red")
    return Group(shown, Text(), foot)
