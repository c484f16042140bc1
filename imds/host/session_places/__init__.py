"""Where sessions are kept for the daemon that comes after this one: one module for each place.

Each is imported when it is used. Nothing here is async: a thread of the daemon's calls it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from imds.core.errors import PlaceError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from imds.host.systemd import Notifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One role's session as it is kept.

    Attributes:
        text: all of it; secret.
        lives: seconds until it is of no use.
    """

    text: bytes = field(repr=False)
    lives: float


class Place(Protocol):
    """Keeps sessions. All of it blocks, and is called in one and the same thread."""

    def read(self) -> list[bytes]:
        """Return what an earlier daemon left.

        Raises:
            PlaceError: it cannot be read, or nothing could be written.
            ValueError: what is there is damaged; the message holds none of it.
        """
        ...

    def write(self, entries: Mapping[str, Entry]) -> None:
        """Hold these, by role, and nothing else: whoever is killed meanwhile leaves the old or the new.

        Raises:
            PlaceError: it cannot be done.
        """
        ...

    def clear(self) -> None:
        """Hold nothing any more, because sessions are kept elsewhere now.

        Raises:
            PlaceError: it cannot be done.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What places are made of.

    Attributes:
        directory: the state directory.
        environment: the daemon's.
        notifier: speaks to the service manager.
        stored: descriptors that it handed over.
        key_file: what the file is encrypted with; None means systemd's credential, else nothing.
        insisted: whether the operator named this place alone, so that it is tried where nobody can say that it works.
    """

    directory: Path
    environment: Mapping[str, str]
    notifier: Notifier
    stored: Mapping[str, int]
    key_file: Path | None
    insisted: bool

    @property
    def scope(self) -> str:
        """What tells the daemons of one user apart: each has its state directory."""
        return hashlib.sha256(bytes(self.directory)).hexdigest()[:12]


def place(name: str, around: Surroundings) -> Place:
    """Return the place that ``persist_sessions`` calls ``name``; blocks.

    Raises:
        PlaceError: there is no such place here.
    """
    # each is imported only where it is used
    match name:
        case "fd_store":
            from imds.host.session_places.fd_store import FdStore  # noqa: PLC0415

            return FdStore(around)
        case "kernel_keyring":
            from imds.host.session_places.kernel_keyring import KernelKeyring  # noqa: PLC0415

            return KernelKeyring(around.scope)
        case "os_keyring":
            from imds.host.session_places.os_keyring import OsKeyring  # noqa: PLC0415

            return OsKeyring(around.scope)
        case "file":
            from imds.host.session_places.file import SessionFile  # noqa: PLC0415

            return SessionFile(around)
    raise PlaceError(f"{name} is no place for sessions")
