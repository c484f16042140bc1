"""What Linux tells of connections and processes: ``sock_diag`` at once, ``/proc`` and control groups for threads."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from imds.host import processes
from imds.host.cgroups import Cgroups, path_of_process
from imds.host.finding import LONGEST_LOOK, Found
from imds.host.sock_diag import SockDiag

if TYPE_CHECKING:
    from imds.core.callers import Process
    from imds.host.finding import EndPoint, Owner

logger = logging.getLogger(__name__)

MOST_KINDS = 256


class Linux:
    """Finds who has a socket."""

    def __init__(self) -> None:
        self._diag = SockDiag()
        self._cgroups = Cgroups()
        self._last: dict[tuple[int | None, int | None], int] = {}

    def close(self) -> None:
        """Close the look-up socket."""
        self._diag.close()

    def owner(self, client: EndPoint, server: EndPoint) -> Owner | None:
        """Return who owns the client end of a connection, None where the kernel does not tell."""
        try:
            return self._diag.owner(client, server)
        except OSError as error:
            logger.warning("the kernel does not tell who is calling: %s", error)
            return None

    def find(self, uid: int | None, owners: frozenset[Owner]) -> dict[Owner, Found]:
        """Return the processes that hold sockets of one user; blocking, for threads."""
        until = time.monotonic() + LONGEST_LOOK
        return self._described(owners, processes.holders([owner.inode for owner in owners], uid, until=until))

    def glance(self, uid: int | None, owners: frozenset[Owner]) -> dict[Owner, Found]:
        """Return likewise processes that need not be the ones that opened them, which takes less; blocking."""
        kinds = {(uid, owner.cgroup_id) for owner in owners}
        likely = [self._last[kind] for kind in kinds if kind in self._last]
        until = time.monotonic() + LONGEST_LOOK
        pids = processes.any_holders([owner.inode for owner in owners], uid, likely, until=until)
        if len(self._last) + len(kinds) > MOST_KINDS:
            self._last.clear()
        # the same user's programs are asked first the next time, most often rightly
        self._last |= {(uid, owner.cgroup_id): pids[owner.inode] for owner in owners if owner.inode in pids}
        return self._described(owners, pids)

    def of_processes(self, key: None, pids: frozenset[int]) -> dict[int, Found]:  # noqa: ARG002 - as Finder has it
        """Return what is known of processes, without those that are gone; blocking."""
        return {pid: found for pid in pids if (found := self._of_process(pid)) is not None}

    def _of_process(self, pid: int) -> Found | None:
        with suppress(OSError):
            uid = os.stat(f"{processes.PROC}/{pid}").st_uid
            found = Found(uid=uid, process=processes.describe(pid), cgroup=path_of_process(pid))
            same = os.stat(f"{processes.PROC}/{pid}").st_uid == uid
            return found if same else Found(uid=uid, process=None, cgroup=None)
        return None

    def _described(self, owners: frozenset[Owner], pids: dict[int, int]) -> dict[Owner, Found]:
        by_pid: dict[int, list[int]] = {}
        for inode, pid in pids.items():
            by_pid.setdefault(pid, []).append(inode)
        described: dict[int, Process] = {}
        for pid, inodes in by_pid.items():
            described |= processes.describe_holder(pid, inodes)
        return {owner: self._found(owner, described.get(owner.inode)) for owner in owners}

    def _found(self, owner: Owner, process: Process | None) -> Found:
        cgroup = self._cgroups.path(owner.cgroup_id)
        if cgroup is None and process is not None:  # where cgroup v2 is mounted nowhere that this daemon sees
            cgroup = path_of_process(process.program.pid)
        return Found(uid=owner.uid, process=process, cgroup=cgroup)
