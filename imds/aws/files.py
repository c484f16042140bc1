"""Files that hold keys and tokens: read whole, within a limit, and never waited for."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from pathlib import Path


def read_file(path: Path, most: int) -> bytes:
    """Return what is in ``path``, at most ``most`` bytes.

    Raises:
        OSError: it cannot be read.
        CredentialsError: it is longer, or no plain file: a pipe might never say anything.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise CredentialsError("NotAFile", f"{path} is no plain file", action=Action.CONFIG)
        content = file.read(most + 1)
    if len(content) > most:
        raise CredentialsError("TooLong", f"{path} has over {most} bytes", action=Action.CONFIG)
    return content
