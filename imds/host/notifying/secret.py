"""The file with what our requests to a webhook are signed with."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from imds.core.errors import NotifyError

if TYPE_CHECKING:
    from pathlib import Path

MOST = 4096
"""Bytes."""


def read_secret(path: Path) -> bytes:
    """Return what is in the file, without the end of its line; read each time, so that it can be replaced. Blocks.

    Raises:
        NotifyError: it cannot be read, everybody can read it, or it holds no secret.
    """
    try:
        # a pipe in its place would hold us up for ever
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            content = file.read(MOST + 1) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        raise NotifyError(f"its secret in {path} cannot be read: {error.strerror}") from error
    if status.st_mode & stat.S_IRWXO:
        raise NotifyError(f"everybody may use its secret: chmod o-rwx {path}")
    secret = content.rstrip(b"\r\n")
    if not secret or len(content) > MOST:
        raise NotifyError(f"{path} holds no secret: it must be a file of 1 to {MOST} bytes")
    return secret
