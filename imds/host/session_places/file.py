"""A file in the state directory, which outlives a reboot: mode 0600, encrypted where there is a key."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from imds.core.errors import ConfigError, PlaceError
from imds.core.kept_sessions import bundle, unbundle
from imds.host import private_files
from imds.host.session_places.apart import run_apart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.host.session_places import Entry, Surroundings

NAME = "sessions"
CREDENTIAL = "sessions-key"
"""systemd's ``LoadCredential=`` or ``LoadCredentialEncrypted=`` of this name is the key."""

SEALED = b"imds sealed 1\n"
"""What an encrypted file begins with."""

SHORTEST_KEY = 32
LONGEST_KEY = 65536


class SessionFile:
    """One file with all sessions."""

    def __init__(self, around: Surroundings) -> None:
        self._path = around.directory / NAME
        self._key = _key(around)

    def read(self) -> list[bytes]:
        """Return what the file holds; refuses one that others may read, and a directory that we cannot write."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            content = private_files.read_private(self._path)
        except ConfigError as error:
            raise PlaceError(str(error)) from error
        except OSError as error:
            raise PlaceError(f"{self._path.parent}: {error.strerror or error}") from error
        if not os.access(self._path.parent, os.W_OK | os.X_OK, effective_ids=True):
            raise PlaceError(f"{self._path.parent} cannot be written")
        return unbundle(self._open(content)) if content else []

    def write(self, entries: Mapping[str, Entry]) -> None:
        """Write the file anew."""
        content = bundle(entry.text for entry in entries.values())
        if self._key is not None:
            content = SEALED + run_apart("sealing", {"do": "seal", "key": self._key}, content)
        try:
            private_files.write_private(self._path, content)
        except ConfigError as error:
            raise PlaceError(str(error)) from error

    def clear(self) -> None:
        """Remove the file."""
        remove(self._path.parent)

    def _open(self, content: bytes) -> bytes:
        if self._key is None:
            if content.startswith(SEALED):
                raise ValueError(f"{self._path} is encrypted, and there is no key now")
            return content
        if not content.startswith(SEALED):
            raise ValueError(f"{self._path} is not encrypted, although there is a key now")
        try:
            return run_apart("sealing", {"do": "open", "key": self._key}, content.removeprefix(SEALED))
        except PlaceError as error:
            raise ValueError(f"{self._path}: {error}") from error


def remove(directory: Path) -> None:
    """Remove the file of a state directory, because sessions are kept elsewhere now."""
    with suppress(OSError):
        (directory / NAME).unlink(missing_ok=True)


def _key(around: Surroundings) -> str | None:
    """Return what the file is encrypted with."""
    if around.key_file is not None:
        try:
            key = private_files.read_private(around.key_file)
        except ConfigError as error:
            raise PlaceError(str(error)) from error
        if key is None:
            raise PlaceError(f"there is no {around.key_file}: openssl rand -base64 32 makes a key")
        return _long_enough(key, around.key_file)
    directory = around.environment.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return None
    file = Path(directory) / CREDENTIAL
    try:
        return _long_enough(file.read_bytes(), file)  # systemd sees to it that it is ours alone
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PlaceError(f"{file}: {error.strerror or error}") from error


def _long_enough(key: bytes, file: Path) -> str:
    key = key.strip()
    if not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        raise PlaceError(f"{file} holds {len(key)} bytes, a key has {SHORTEST_KEY} at least: openssl rand -base64 32")
    return key.hex()
