"""A systemd scope for a command, so that the kernel tells what it starts apart from the rest of its user's processes.

``systemd-run --scope`` moves itself into a new scope and becomes the command: its pid, its signals, its terminal and
its exit status are the command's.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM = Path("/run/systemd/system")
"""Where systemd runs as the first process (sd_booted(3))."""

EXPANDS = 254
"""The first systemd-run that may take a ``$`` in a command for a variable."""

_TIMEOUT = 5


def scope_prefix(unit: str, *, uid: int, environment: Mapping[str, str]) -> list[str] | None:
    """Return the command in front of another that runs it in a scope called ``unit``; None where there is no systemd.

    Args:
        unit: ends with ``.scope``.
        uid: who we are; root has the system's manager, everybody else their own.
        environment: has ``XDG_RUNTIME_DIR`` where the user has a manager.
    """
    program = shutil.which("systemd-run")
    if program is None or not SYSTEM.is_dir():
        return None
    if uid != 0 and not Path(environment.get("XDG_RUNTIME_DIR") or "/nowhere", "systemd", "private").exists():
        return None
    manager = [] if uid == 0 else ["--user"]
    literally = ["--expand-environment=no"] if _version(program) >= EXPANDS else []
    return [program, *manager, "--scope", "--quiet", "--collect", *literally, f"--unit={unit}", "--"]


def _version(program: str) -> int:
    try:
        done = subprocess.run(  # noqa: S603 - systemd's own program
            [program, "--version"], capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.match(r"systemd (\d+)", done.stdout)
    return int(found[1]) if found else 0
