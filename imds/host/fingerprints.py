"""What files say, as a digest: the same for the next daemon only where they say the same."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LARGEST = 1 << 20
"""Bytes; of a larger file, or of what is no plain file, only what the system knows of it counts."""


def fingerprint(paths: Iterable[Path]) -> str:
    """Return a digest of what is in these files; one that is missing counts as such. Blocks."""
    total = hashlib.sha256()
    for path in paths:
        total.update(os.fsencode(path) + b"\0" + _of(path))
    return total.hexdigest()


def _of(path: Path) -> bytes:
    try:
        # nothing waits for whoever is at the other end of a FIFO
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        return f"error {error.errno}".encode()
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST:
            return hashlib.sha256(file.read(LARGEST)).digest()
    if stat.S_ISCHR(status.st_mode):  # /dev/null, which is made anew for a service with a /dev of its own
        return f"device {status.st_rdev}".encode()
    return repr((status.st_ino, status.st_size, status.st_mtime_ns)).encode()
