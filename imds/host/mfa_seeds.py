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


def _run(do: str, device: str) -> bytes:
    if importlib.util.find_spec("keyring") is None:
        raise PlaceError("the keyring of the desktop needs an extra: pip install 'imds-server[keyring]'")
    return run_apart(_PROGRAM, {"do": do, "name": f"mfa-seed {device}"}, b"")
