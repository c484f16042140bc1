"""Processes as ``/proc`` shows them: which one holds a socket, what it is, and what it comes from.

The path of an executable is a hint: a process of the same user can imitate any other. Everything is read with the
process pinned by a pidfd and looked at again at the end, so that a number that was given anew names nobody.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress
from typing import TYPE_CHECKING

from imds.core.callers import Process, Program
from imds.core.matching import is_interpreter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PROC = "/proc"
MOST_ANCESTORS = 64
MOST_FILES = 4096
"""Open files of one process that are looked through."""

_DELETED = " (deleted)"


def holder(inode: int, uid: int) -> int | None:
    """Return the process that holds a socket; of several the oldest, None when none can be found.

    All processes of the user are looked through: a program that opens a connection and hands it to a child of another
    name must not be taken for that child.
    """
    wanted = f"socket:[{inode}]"
    found = [(_started(pid), pid) for pid in _pids_of(uid) if _holds(pid, wanted)]
    return min(found)[1] if found else None


def any_holder(inode: int, uid: int, likely: Iterable[int]) -> int | None:
    """Return a process that holds a socket: a likely one, else the youngest, which is found at once in most cases."""
    wanted = f"socket:[{inode}]"
    return next((pid for pid in (*likely, *_pids_of(uid)) if _holds(pid, wanted)), None)


def describe(pid: int, inode: int | None = None) -> Process | None:
    """Return a process and its ancestors, None when it is gone, or no longer holds ``inode``."""
    try:
        pinned = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        programs = _lineage(pid)
        if not programs or _ended(pinned) or (inode is not None and not _holds(pid, f"socket:[{inode}]")):
            return None
    finally:
        os.close(pinned)
    return Process(program=programs[0], ancestors=tuple(programs[1:]))


def _ended(pinned: int) -> bool:
    """Whether the process behind a pidfd has ended, so that its number may name another."""
    looked = select.poll()
    looked.register(pinned, select.POLLIN)
    return bool(looked.poll(0))


def _lineage(pid: int) -> list[Program]:
    """Return a process and its ancestors; nothing where one of them changed meanwhile, or there are too many."""
    programs: list[Program] = []
    began = None
    while pid:
        if len(programs) > MOST_ANCESTORS:
            return []
        found = _program(pid)
        if found is None:
            return []
        program, parent, started = found
        if began is not None and started > began:
            return []  # an ancestor that is younger than its child is another process with the same number
        programs.append(program)
        pid, began = parent, started
    return programs


def _program(pid: int) -> tuple[Program, int, int] | None:
    """Return a process, its parent's number, and when it started."""
    folder = f"{PROC}/{pid}"
    try:
        with open(f"{folder}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return None
    # the name stands in parentheses and may itself hold some
    command = stat[stat.index(b"(") + 1 : stat.rindex(b")")].decode(errors="replace")
    fields = stat[stat.rindex(b")") + 2 :].split()
    exe = None
    with suppress(OSError):
        exe = os.readlink(f"{folder}/exe").removesuffix(_DELETED)
    script = _script(folder, exe) if exe is not None else None
    return Program(pid=pid, exe=exe, command=command, script=script), int(fields[1]), int(fields[19])


def _started(pid: int) -> int:
    found = _program(pid)
    return found[2] if found is not None else 0


def _script(folder: str, exe: str) -> str | None:
    """Return the name of the script that an interpreter runs."""
    name = exe.rpartition("/")[2]
    if not is_interpreter(name):
        return None
    with suppress(OSError):
        with open(f"{folder}/cmdline", "rb") as file:
            arguments = file.read(4096).split(b"\0")[1:]
        first = next((one for one in arguments if one and not one.startswith(b"-")), b"")
        return first.decode(errors="replace").rpartition("/")[2] or None
    return None


def _pids_of(uid: int) -> Iterator[int]:
    """Yield the user's processes, the youngest first as far as numbers tell."""
    for pid in sorted((int(name) for name in os.listdir(PROC) if name.isdigit()), reverse=True):
        with suppress(OSError):
            if os.stat(f"{PROC}/{pid}").st_uid == uid:
                yield pid


def _holds(pid: int, wanted: str) -> bool:
    folder = f"{PROC}/{pid}/fd"
    with suppress(OSError):
        for number, name in enumerate(os.listdir(folder)):
            if number >= MOST_FILES:
                break
            with suppress(OSError):
                if os.readlink(f"{folder}/{name}") == wanted:
                    return True
    return False
