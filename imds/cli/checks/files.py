"""Files of ours that the daemon refuses, since others could have written or read them."""

from __future__ import annotations

import os
import shlex
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from imds.cli.checks.finding import error
from imds.host import places

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imds.cli.checks.finding import Finding
    from imds.cli.checks.situation import Situation

PRIVATE = ("token.key", "container-tokens.json", "identity.json", places.AUDIT_LOG)


def state_directory(situation: Situation) -> Iterator[Finding]:
    """The daemon cannot keep its key and its record."""
    folder = places.state_directory(situation.environment)
    if not _is_there(folder):
        return
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield error(
            "the daemon cannot write where it keeps its key and its record",
            where=situation.shown(folder),
            fix=f"sudo chown -R {situation.uid} {_quoted(folder)} && chmod u+rwx {_quoted(folder)}",
        )
        return
    for path in (folder / name for name in PRIVATE):
        if _is_there(path) and (found := _unusable(path, situation)) is not None:
            yield found


def _daemons_uid(situation: Situation) -> int:
    """Return whose the files must be: the daemon's, who may be another when root looks."""
    with suppress(OSError):
        return Path(f"/proc/{situation.contact.says('pid')}").stat().st_uid
    return situation.uid


def control_directory(situation: Situation) -> Iterator[Finding]:
    """The daemon cannot open its control socket, or does not where others may write."""
    folder = places.control_socket(situation.environment).parent
    if situation.contact.is_there or not _is_there(folder):
        return
    mode = folder.stat().st_mode
    if mode & 0o022 and not mode & stat.S_ISVTX:
        yield error(
            "others may write where the daemon's control socket is, so it does not start",
            where=situation.shown(folder),
            fix=f"chmod go-w {_quoted(folder)}",
        )
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield error(
            "the daemon may not write where its control socket is",
            where=situation.shown(folder),
            fix=f"sudo chown {situation.uid} {_quoted(folder)} && chmod 700 {_quoted(folder)}",
        )


def control_socket(situation: Situation) -> Iterator[Finding]:
    """There is a control socket of this user's that this user may not open."""
    path = situation.contact.closed
    if path is None:
        return
    owner = path.parent.stat().st_uid if not os.access(path.parent, os.X_OK) else path.lstat().st_uid
    if owner == situation.uid:
        yield error(
            "the daemon's control socket is closed to its own user",
            where=situation.shown(path),
            fix=f"chmod 700 {_quoted(path.parent)} && chmod 600 {_quoted(path)}",
        )


def _unusable(path: Path, situation: Situation) -> Finding | None:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        why, fix = "is no plain file", f"mv {_quoted(path)} {_quoted(path)}.not-ours"
    elif status.st_uid != (uid := _daemons_uid(situation)):
        why, fix = f"belongs to uid {status.st_uid}", f"sudo chown {uid} {_quoted(path)}"
    elif status.st_mode & 0o077:
        why, fix = f"may be used by others (mode {status.st_mode & 0o777:04o})", f"chmod 600 {_quoted(path)}"
    else:
        return None
    return error(f"{path.name} {why}, so the daemon does not start", where=situation.shown(path), fix=fix)


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
