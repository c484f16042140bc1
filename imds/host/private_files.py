"""Files that only the daemon's user may read: the token key and the container tokens' digests."""

from __future__ import annotations

import json
import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from imds.core.errors import ConfigError, Problem

if TYPE_CHECKING:
    from pathlib import Path


def read_private(path: Path) -> bytes | None:
    """Return the file's bytes, None when there is none.

    Raises:
        ConfigError: it belongs to somebody else, or others may read or write it, or it is not a plain file.
    """
    try:
        # without O_NONBLOCK a FIFO in its place would hold us up for ever
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _unusable(path, "it is not a plain file")
        if status.st_uid != os.getuid():
            raise _unusable(path, f"it belongs to uid {status.st_uid}, not to uid {os.getuid()}")
        if status.st_mode & 0o077:
            raise _unusable(path, f"others may use it (mode {status.st_mode & 0o777:04o}): chmod 600 it, or remove it")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def write_private(path: Path, content: bytes) -> None:
    """Write the file whole or not at all, mode 0600, in a directory of mode 0700.

    Raises:
        ConfigError: the directory cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise _unusable(path, error.strerror or str(error)) from error


def key(path: Path, length: int) -> bytes:
    """Return the random key kept in ``path``, made at the first call.

    Raises:
        ConfigError: the file cannot be used.
    """
    kept = read_private(path)
    if kept is not None and len(kept) == length:
        return kept
    made = secrets.token_bytes(length)
    write_private(path, made)
    return made


def read_json(path: Path) -> Any:  # noqa: ANN401 - whatever was written
    """Return the JSON kept in ``path``; None when there is none or it is damaged, since all of it can be made anew.

    Raises:
        ConfigError: the file cannot be used.
    """
    content = read_private(path)
    try:
        return json.loads(content) if content is not None else None
    except ValueError:
        return None


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - JSON is
    """Keep JSON in ``path``.

    Raises:
        ConfigError: the directory cannot be written.
    """
    write_private(path, json.dumps(value).encode())


def _unusable(path: Path, why: str) -> ConfigError:
    return ConfigError([Problem(file=str(path), line=0, key="", message=why)])
