"""Where things are: configuration, state, control socket (XDG base directories, systemd's, then the FHS)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM_CONFIG = Path("/etc/imds/config.yaml")
AUDIT_LOG = "audit.jsonl"
SYSTEM_SOCKET = Path("/run/imds/control.sock")


def find_config(environment: Mapping[str, str]) -> Path | None:
    """Return the configuration file: ``$IMDS_CONFIG``, the user's, the system's; None when there is none."""
    if named := environment.get("IMDS_CONFIG"):
        return Path(named)
    home = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "/")) / ".config"
    for candidate in (Path(home) / "imds" / "config.yaml", SYSTEM_CONFIG):
        if candidate.is_file():
            return candidate
    return None


def state_directory(environment: Mapping[str, str]) -> Path:
    """Return where keys and tokens are kept across restarts: systemd's ``StateDirectory``, else the user's."""
    if given := environment.get("STATE_DIRECTORY"):
        return Path(given.partition(":")[0])
    home = environment.get("XDG_STATE_HOME") or Path(environment.get("HOME", "/")) / ".local" / "state"
    return Path(home) / "imds"


def control_socket(environment: Mapping[str, str]) -> Path:
    """Return where the daemon puts its control socket."""
    if named := environment.get("IMDS_CONTROL_SOCKET"):
        return Path(named)
    if given := environment.get("RUNTIME_DIRECTORY"):
        return Path(given.partition(":")[0]) / "control.sock"
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "imds" / "control.sock"
    return state_directory(environment) / "control.sock"


def control_sockets(environment: Mapping[str, str]) -> list[Path]:
    """Return where a command looks for a daemon, in order."""
    if named := environment.get("IMDS_CONTROL_SOCKET"):
        return [Path(named)]
    candidates = [control_socket(environment), state_directory(environment) / "control.sock"]
    if re.fullmatch(r"[\w.-]+", user := environment.get("USER", "")):
        candidates.append(Path(f"/run/imds-{user}/control.sock"))  # `imds service install --for USER`
    candidates.append(SYSTEM_SOCKET)
    return list(dict.fromkeys(candidates))


def tilde(path: Path, environment: Mapping[str, str]) -> str:
    """Return ``path`` for people: below the home directory with ``~``."""
    home = environment.get("HOME", "")
    text = str(path)
    return "~" + text.removeprefix(home) if home and text.startswith(home.rstrip(os.sep) + os.sep) else text
