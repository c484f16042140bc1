"""Reads and writes the desktop's keyring; a program of its own, see ``apart``."""

from __future__ import annotations

from contextlib import suppress

import keyring
from keyring.errors import KeyringError, KeyringLocked, NoKeyringError, PasswordDeleteError

from imds.core.errors import PlaceError
from imds.host.session_places.apart import answer_request

SERVICE = "imds"
SAFE = 1
"""The priority from which on ``keyring`` recommends a backend; below are plain files, and none at all."""


def answer(request: dict[str, str], content: bytes) -> bytes:
    """Return what the entry holds (``do: get``), replace it or remove it.

    Raises:
        PlaceError: the keyring cannot be used.
    """
    if keyring.get_keyring().priority < SAFE:
        raise PlaceError("there is no keyring here: no Secret Service (gnome-keyring, KWallet) answers on the bus")
    name = request["name"]
    try:
        if request["do"] == "set":
            keyring.set_password(SERVICE, name, content.decode())
        elif request["do"] == "delete":
            with suppress(PasswordDeleteError):
                keyring.delete_password(SERVICE, name)
        else:
            return (keyring.get_password(SERVICE, name) or "").encode()
    except KeyringLocked:
        raise PlaceError("the keyring is locked: unlock it, or name another place to fall back to") from None
    except NoKeyringError:
        raise PlaceError("there is no keyring here") from None
    except KeyringError as error:
        raise PlaceError(f"the keyring refuses: {type(error).__name__}") from None
    except Exception as error:  # noqa: BLE001 - backends raise what their buses and libraries do
        raise PlaceError(f"the keyring fails: {type(error).__name__}") from None
    return b""


if __name__ == "__main__":
    answer_request(answer)
