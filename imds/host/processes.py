"""Processes as ``/proc`` shows them: which one holds a socket, what it is, and what it comes from.

The path of an executable is a hint: a process of the same user can imitate any other. Everything is read with the
process pinned by a pidfd and looked at again at the end, so that a number that was given anew names nobody.
"""

from __future__ import annotations

import math
import os
import re
import select
import time
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING

from imds.core.callers import Process, Program
from imds.core.program_names import is_interpreter

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

PROC = "/proc"
MOST_ANCESTORS = 64
MOST_FILES = 4096
"""Open files of one process that are looked through."""

_DELETED = " (deleted)"


def holders(inodes: Collection[int], uid: int | None, *, until: float = math.inf) -> dict[int, int]:
    """Return which process holds each socket: of several the oldest. Sockets that none is found for are left out.

    All processes of the user are looked through: a program that opens a connection and hands it to a child of another
    name must not be taken for that child. So where ``time.monotonic()`` passes ``until`` before the end, none is found.
    """
    return oldest_holders(inodes, _pids_of(uid), until=until)


def oldest_holders(inodes: Collection[int], pids: Iterable[int], *, until: float = math.inf) -> dict[int, int]:
    """Return which of some processes holds each socket, as ``holders`` does."""
    wanted = _links(inodes)
    oldest: dict[int, tuple[int, int]] = {}
    for pid in pids:
        if time.monotonic() > until:
            return {}
        held = _held(pid, wanted)
        began = (_started(pid), pid) if held else (0, 0)
        for inode in held:
            oldest[inode] = min(began, oldest.get(inode, began))
    return {inode: pid for inode, (_, pid) in oldest.items()}


def in_network_of(pid: int) -> Iterator[int]:
    """Yield the processes in a process's network namespace, as far as this daemon may know."""
    with suppress(OSError):
        network = os.readlink(f"{PROC}/{pid}/ns/net")
        for other in _pids_of(None):
            with suppress(OSError):
                if os.readlink(f"{PROC}/{other}/ns/net") == network:
                    yield other


def any_holders(
    inodes: Collection[int], uid: int | None, likely: Iterable[int], *, until: float = math.inf
) -> dict[int, int]:
    """Return a process that holds each socket: a likely one, else the youngest, which is found at once in most cases.

    The search ends when ``time.monotonic()`` passes ``until``.
    """
    missing = _links(inodes)
    found: dict[int, int] = {}
    for pid in chain(likely, _pids_of(uid)):
        if not missing or time.monotonic() > until:
            break
        for inode in _held(pid, missing):
            found[inode] = pid
            del missing[f"socket:[{inode}]"]
    return found


def describe(pid: int) -> Process | None:
    """Return a process and its ancestors, None when it is gone."""
    return _pinned(pid, ())[0]


def describe_holder(pid: int, inodes: Collection[int]) -> dict[int, Process]:
    """Return a process and its ancestors for each of the sockets that it holds still."""
    process, held = _pinned(pid, inodes)
    return dict.fromkeys(held, process) if process is not None else {}


def _pinned(pid: int, inodes: Collection[int]) -> tuple[Process | None, set[int]]:
    """Return a process, None when it is gone, and which of some sockets it held after it had been looked at."""
    try:
        pinned = os.pidfd_open(pid)
    except OSError:
        return None, set()
    try:
        programs = _lineage(pid)
        held = _held(pid, _links(inodes)) if inodes else set()
        if not programs or _ended(pinned):
            return None, set()
    finally:
        os.close(pinned)
    return Process(program=programs[0], ancestors=tuple(programs[1:])), held


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


_CODE = {"node": "ep", "nodejs": "ep", "perl": "eE", "php": "r", "ruby": "e"}
"""The letters after which an interpreter's program stands among its arguments; others have ``c``."""


def _script(folder: str, exe: str) -> str | None:
    """Return the name of the script that an interpreter runs."""
    name = exe.rpartition("/")[2]
    if not is_interpreter(name):
        return None
    with suppress(OSError):
        with open(f"{folder}/cmdline", "rb") as file:
            arguments = file.read(4096).split(b"\0")[1:]
        return script_name((argument.decode(errors="replace") for argument in arguments), name)
    return None


def script_name(arguments: Iterable[str], interpreter: str) -> str | None:
    """Return the name of the script among an interpreter's arguments, None without one.

    Where the program itself stands there, which may hold a secret, it is the option before it: ``-c``.
    """
    code = _CODE.get(interpreter.rstrip("0123456789."), "c")
    for argument in arguments:
        if argument in ("--eval", "--print", "--command") or (
            re.fullmatch(r"-[A-Za-z]{1,4}", argument) and set(argument) & set(code)
        ):
            return argument
        if argument and not argument.startswith("-"):
            return argument.rpartition("/")[2] or None
    return None


def _pids_of(uid: int | None) -> Iterator[int]:
    """Yield the user's processes, everybody's for None, the youngest first as far as numbers tell."""
    for pid in sorted((int(name) for name in os.listdir(PROC) if name.isdigit()), reverse=True):
        with suppress(OSError):
            if uid is None or os.stat(f"{PROC}/{pid}").st_uid == uid:
                yield pid


def _links(inodes: Iterable[int]) -> dict[str, int]:
    """Return what ``/proc/PID/fd`` shows of sockets, with their inodes."""
    return {f"socket:[{inode}]": inode for inode in inodes}


def _held(pid: int, wanted: Mapping[str, int]) -> set[int]:
    """Return which of the sockets a process holds, by their links."""
    held = set()
    with suppress(OSError):
        # below an open folder the kernel finds and checks the process once, not for each file
        folder = os.open(f"{PROC}/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in os.listdir(folder)[:MOST_FILES]:
                try:
                    inode = wanted.get(os.readlink(name, dir_fd=folder))
                except OSError:  # closed meanwhile
                    continue
                if inode is not None:
                    held.add(inode)
        finally:
            os.close(folder)
    return held
