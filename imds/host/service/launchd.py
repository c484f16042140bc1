"""A launchd agent for macOS. Written from launchd.plist(5) and launchctl(1); it has not been run on a Mac."""

from __future__ import annotations

import plistlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LABEL = "io.github.imds-server.imds"
MARK = "Written by `imds service install`, which replaces it"


def agent_path(home: Path) -> Path:
    """Return where a user's agent goes."""
    return home / "Library" / "LaunchAgents" / f"{LABEL}.plist"


def agent(program: tuple[str, ...], home: Path) -> bytes:
    """Return the property list of an agent that runs the daemon while its user is logged in."""
    log = str(home / "Library" / "Logs" / "imds.log")
    return plistlib.dumps(
        {
            "Label": LABEL,
            "Comment": MARK,
            "ProgramArguments": [*program, "serve"],
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": 10,
            "ExitTimeOut": 10,
            "ProcessType": "Background",
            "Umask": 0o077,
            "HardResourceLimits": {"Core": 0},
            "SoftResourceLimits": {"NumberOfFiles": 4096},
            "StandardOutPath": log,
            "StandardErrorPath": log,
        }
    )


def is_ours(content: bytes) -> bool:
    """Whether ``imds service`` wrote a property list."""
    try:
        told = plistlib.loads(content)
    except (ValueError, plistlib.InvalidFileException):
        return False
    return isinstance(told, dict) and told.get("Comment") == MARK


def load(uid: int, path: Path) -> list[str]:
    """Return the command that starts an agent, now and at every login."""
    return ["launchctl", "bootstrap", f"gui/{uid}", str(path)]


def unload(uid: int) -> list[str]:
    """Return the command that ends it."""
    return ["launchctl", "bootout", f"gui/{uid}/{LABEL}"]
