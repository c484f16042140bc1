"""A container's first process, and what is found by it: who, in its network namespace, has a connection.

Where this daemon may enter that namespace (``CAP_SYS_ADMIN``), a look-up socket is opened there and asks the kernel as
for connections of this host. Otherwise ``/proc/PID/net/tcp`` has it, for everybody to read, in milliseconds: the kernel
goes through the connections of all namespaces.
"""

from __future__ import annotations

import ctypes
import os
import select
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from imds.host import cgroups, processes
from imds.host.finding import Found, Owner
from imds.host.sock_diag import NO_SOCKET_OF_A_PROCESS, SockDiag, address, is_known

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imds.core.callers import Process
    from imds.host.engine import Running
    from imds.host.finding import Ends

_CLONE_NEWNET = 0x40000000
_PIECE = 1 << 16
_LONGEST_LINE = 512
_LENGTH_4 = 4
_MAPPED = bytes(10) + b"\xff\xff"
"""Before an IPv4 address that is written as one of IPv6."""

_GROUPS = cgroups.Cgroups()


class FirstProcess:
    """A process that is pinned: while it lives, nothing that is asked of its number is about another.

    Raises:
        OSError: it is gone, it is not the container's, or this system does not tell.
    """

    def __init__(self, pid: int, container_id: str) -> None:
        self.pid = pid
        self._pinned, self._diag = -1, None
        self._pinned = os.pidfd_open(pid)
        # that the engine numbers processes as we do (it may be in a virtual machine) shows by the control group
        if container_id not in Path(processes.PROC, str(pid), "cgroup").read_text() or not self.lives:
            raise ProcessLookupError
        self._lock = threading.Lock()
        self._diag = _diag_in(self._pinned)

    def __del__(self) -> None:
        if self._pinned >= 0:
            os.close(self._pinned)
        if self._diag is not None:
            self._diag.close()

    @classmethod
    def of(cls, running: Running) -> FirstProcess | None:
        """Return a container's; None where it cannot be pinned."""
        with suppress(OSError, OverflowError, AttributeError):  # no such number, or a system without pidfd_open
            return cls(running.pid, running.container.id)
        return None

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        looked = select.poll()
        looked.register(self._pinned, select.POLLIN)
        return not looked.poll(0)

    @property
    def enters(self) -> bool:
        """Whether connections in its namespace are found in microseconds."""
        return self._diag is not None

    def owners(self, ends: Iterable[Ends], until: float) -> dict[Ends, Owner]:
        """Return who has the client ends of connections in its network namespace; others are left out.

        Args:
            ends: the client's end, and the one that it asked.
            until: monotonic seconds, after which no more are found.
        """
        found: dict[Ends, Owner] = {}
        if self._diag is not None:
            with suppress(OSError), self._lock:
                for one in ends:
                    if (owner := self._diag.owner(*one)) is not None:
                        found[one] = owner
        else:
            found = _in_tables(f"{processes.PROC}/{self.pid}/net", ends, until)
        return found if self.lives else {}

    def find(self, owners: frozenset[Owner], until: float) -> dict[Owner, Found]:
        """Return the processes that have connections: of the container's own that hold one the oldest."""
        groups = {owner: _GROUPS.path(owner.cgroup_id) for owner in owners}
        inodes: dict[str | None, set[int]] = {}
        own = cgroups.path_of_process(self.pid)
        for owner, group in groups.items():
            inodes.setdefault(group or own, set()).add(owner.inode)
        pids: dict[int, int] = {}
        for group, sought in inodes.items():
            if group is not None:
                pids |= processes.oldest_holders(sought, cgroups.processes_in(group), until=until)
        if missing := {owner.inode for owner in owners} - set(pids):
            # where control groups cannot be seen, or it has left that in which it was made
            pids |= processes.oldest_holders(missing, processes.in_network_of(self.pid), until=until)
        described: dict[int, Process] = {}
        for pid in set(pids.values()):
            described |= processes.describe_holder(pid, [inode for inode, holder in pids.items() if holder == pid])
        return {owner: self._found(owner, groups[owner], described.get(owner.inode)) for owner in owners}

    def itself(self) -> Found | None:
        """Return what is known of this very process."""
        with suppress(OSError):
            uid = Path(processes.PROC, str(self.pid)).stat().st_uid
            process, group = processes.describe(self.pid), cgroups.path_of_process(self.pid)
            if self.lives and is_known(uid):
                return Found(uid=uid, process=process, cgroup=group)
        return None

    def _found(self, owner: Owner, group: str | None, process: Process | None) -> Found:
        if group is None and process is not None:
            group = cgroups.path_of_process(process.program.pid)
        return Found(uid=owner.uid, process=process, cgroup=group)


def _diag_in(pinned: int) -> SockDiag | None:
    """Return a look-up socket in the network namespace of a pinned process; None where this daemon may not go there."""
    opened: list[SockDiag] = []

    def enter() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        # by the pidfd, so of this process whatever its number names by now (Linux 5.8)
        if libc.setns(pinned, _CLONE_NEWNET) == 0:
            opened.append(SockDiag())

    thread = threading.Thread(target=enter, name="network namespace")  # which ends there: it cannot come back
    thread.start()
    thread.join()
    return opened[0] if opened else None


def _in_tables(folder: str, ends: Iterable[Ends], until: float) -> dict[Ends, Owner]:
    """Return who has connections by the tables of a network namespace; what is found after ``until`` is left out."""
    found: dict[Ends, Owner] = {}
    wanted = set(ends)
    for table in ("tcp", "tcp6"):
        needles = {needle: one for one in wanted if (needle := _needle(one, table)) is not None}
        with suppress(OSError):
            for line in _lines(f"{folder}/{table}", needles, until):
                fields = line.split()
                one = needles.get(b" ".join(fields[1:3]))
                if one is not None and (owner := _owner(fields)) is not None:
                    found[one] = owner
        wanted -= set(found)
        if not wanted:
            break
    return found


def _owner(fields: list[bytes]) -> Owner | None:
    state, uid, inode = int(fields[3], 16), int(fields[7]), int(fields[9])
    if state in NO_SOCKET_OF_A_PROCESS or inode == 0 or not is_known(uid):
        return None
    return Owner(uid, inode, None)


def _lines(path: str, needles: Iterable[bytes], until: float) -> Iterator[bytes]:
    """Yield the lines of a table in which one of the needles is, without splitting the rest."""
    if not (sought := list(needles)):
        return
    with Path(path).open("rb", buffering=0) as file:
        left = b""
        while time.monotonic() < until and (piece := file.read(_PIECE)):
            whole, newline, left = (left + piece).rpartition(b"\n")
            for needle in sought:
                at = (whole + newline).find(needle)
                if at >= 0:
                    begin, end = whole.rfind(b"\n", 0, at) + 1, whole.find(b"\n", at)
                    yield whole[begin : end if end >= 0 else None]
            left = left[-_LONGEST_LINE:]


def _needle(ends: Ends, table: str) -> bytes | None:
    """Return the two ends as a table has them; None where they cannot be in it."""
    shown = []
    for host, port in ends:
        packed = address(host).packed
        if len(packed) == _LENGTH_4 and table == "tcp6":
            packed = _MAPPED + packed
        if (len(packed) == _LENGTH_4) != (table == "tcp"):
            return None
        # words of 32 bits, in this machine's order
        words = (int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4))
        shown.append(f"{''.join(f'{word:08X}' for word in words)}:{port:04X}")
    return " ".join(shown).encode()
