"""Seeds of virtual MFA devices in the desktop's keyring, one entry for each device."""

from __future__ import annotations

import importlib.util

from imds.core.errors import PlaceError
from imds.host.session_places.apart import run_apart

_PROGRAM = "keyring_access"


def read(device: str) -> str | None:
    """Return the seed of a device as it was given, None where there is none; blocks.

    Raises:
        PlaceError: the keyring cannot be used.
    """
    return _run("get", device).decode() or None


def keep(device: str, seed: str) -> None:
    """Keep the seed of a device; blocks.

    Raises:
        PlaceError: likewise.
    """
    _run("set", device, seed)


def forget(device: str) -> None:
    """Forget it; blocks.

    Raises:
        PlaceError: likewise.
    """
    _run("delete", device)


def _run(do: str, device: str, content: str = "") -> bytes:
    if importlib.util.find_spec("keyring") is None:
        raise PlaceError("the keyring of the desktop needs an extra: pip install 'imds-server[keyring]'")
    return run_apart(_PROGRAM, {"do": do, "name": f"mfa-seed {device}"}, content.encode())
