"""systemd keeps a file of ours that is in memory only: it survives a restart and a crash, and ends with the service.

Every state is a file of its own, sealed before it is handed over. The older one is taken back once the newer one is
there, so that whoever is killed in between leaves two, of which the higher number counts.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from imds.core.errors import PlaceError
from imds.core.kept_sessions import bundle, unbundle
from imds.host.systemd import STORED, keeps_descriptors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.host.session_places import Entry, Surroundings

_NOT_HERE = (
    "systemd keeps no descriptors for us: FileDescriptorStoreMax=4 in the unit lets it (before systemd 254 with "
    "Environment=FDSTORE=4)"
)
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class FdStore:
    """The manager's file descriptor store (``FileDescriptorStoreMax=``, at least 2)."""

    def __init__(self, around: Surroundings) -> None:
        self._notifier = around.notifier
        self._given = {_number(name): (name, fd) for name, fd in around.stored.items()}
        self._held = set(around.stored)
        self._last = max(self._given, default=0)
        keeps = True if self._given else keeps_descriptors(around.environment)
        if not (around.insisted if keeps is None else keeps):
            raise PlaceError(_NOT_HERE)

    def read(self) -> list[bytes]:
        """Return what the newest of the files holds."""
        given, self._given = self._given, {}
        try:
            return unbundle(_content(given[max(given)][1])) if given else []
        except OSError as error:
            raise ValueError(f"what systemd kept cannot be read: {error.strerror}") from error
        finally:
            for _, fd in given.values():
                with suppress(OSError):
                    os.close(fd)

    def write(self, entries: Mapping[str, Entry]) -> None:
        """Leave a new file, and take the older ones back."""
        name = f"{STORED}{self._last + 1}"
        try:
            fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            with os.fdopen(fd, "wb") as file:
                file.write(bundle(entry.text for entry in entries.values()))
                file.flush()
                fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
                self._notifier.leave(name, fd)
        except OSError as error:
            raise PlaceError(f"systemd does not take the sessions: {error.strerror or error}") from error
        self._last += 1
        older, self._held = self._held, {name}
        for each in older:
            self._notifier.take_back(each)

    def clear(self) -> None:
        """Take everything back."""
        for each in self._held:
            self._notifier.take_back(each)
        self._held = set()


def _number(name: str) -> int:
    text = name.removeprefix(STORED)
    return int(text) if text.isdecimal() else 0


def _content(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)
