"""Writes to systemd's journal by its own protocol, with a field for everything that is known."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET = Path("/run/systemd/journal/socket")
WARNING = "4"
IDENTIFIER = "imds"


def write(message: str, fields: Mapping[str, str], *, path: Path = SOCKET) -> bool:
    """Write one entry; return whether there is a journal that has taken it. Waits for nothing.

    Args:
        message: what people read.
        fields: further ones, by their names in small letters; ``IMDS_`` is put in front.
        path: the journal's socket.
    """
    entry = {"MESSAGE": message, "PRIORITY": WARNING, "SYSLOG_IDENTIFIER": IDENTIFIER}
    entry |= {f"IMDS_{name.upper()}": value for name, value in fields.items() if value}
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as journal:
            journal.sendto(b"".join(_field(name, value.encode()) for name, value in entry.items()), str(path))
    except OSError:
        return False
    return True


def _field(name: str, value: bytes) -> bytes:
    """Return a field with its length, so that no line in it is taken for another field."""
    return b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(value)), value)
