"""Who is at the other end of a connection: at once what the kernel says of its socket, the rest where it is wanted.

The owner is asked for when a connection is accepted, because a client that sends and exits is gone a moment later. What
takes longer (the process, its ancestors, its container) is looked up in threads, and only where a rule or the audit
wants it. A peer whose socket is not here (another host, another network namespace, gone already) stays unknown, and
unknown matches no rule.
"""

from __future__ import annotations

import asyncio
import grp
import logging
import os
import pwd
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from imds.core.callers import Caller, Place, Process
from imds.host import processes
from imds.host.cgroups import Cgroups, path_of_process
from imds.host.containers import Engines
from imds.host.listeners import Address, address_is_here
from imds.host.sock_diag import SockDiag, address

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable
    from pathlib import Path

    from imds.host.sock_diag import EndPoint, Owner

logger = logging.getLogger(__name__)

THREADS = 4
THREADS_OF_ONE = 2
"""That one user's connections may take, or those of all who are elsewhere."""

GLANCES = 50
"""Processes looked up in a second for the record alone, four times that at once; beyond that a line says who it was,
but not which process. Threads that look take their time from the one that answers."""

LONGEST_GLANCE = 0.1
"""Seconds for which an answer waits for that."""

NAMES_KEPT = 60.0
"""Seconds for which users' names and groups are not looked up again."""

MOST_KINDS = 256
_SO_ORIGINAL_DST = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A connection as it was accepted: what is known of the caller at once, and what the rest is looked up by.

    Attributes:
        local_address: the address of ours that the client asked, where it was redirected the one before that.
    """

    caller: Caller
    local_address: str
    owner: Owner | None
    connected: datetime


ROOTLESS_NETWORKS = frozenset({"slirp4netns", "pasta", "pasta.avx2", "passt", "passt.avx2", "rootlesskit"})
"""Programs that make connections for containers of a user."""


class Callers:
    """Looks callers up; one per process.

    Args:
        engines: sockets of container engines.
    """

    def __init__(self, engines: Iterable[Path] = ()) -> None:
        self._diag = _open_sock_diag()
        self._cgroups = Cgroups()
        self._engines = Engines(engines)
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="callers")
        self._explaining = ThreadPoolExecutor(max_workers=1, thread_name_prefix="explain")
        self._turns: WeakValueDictionary[int | None, asyncio.Semaphore] = WeakValueDictionary()
        self._glances, self._glanced, self._glancing = 4.0 * GLANCES, 0.0, 0
        self._last: dict[tuple[int, int | None], int] = {}

    def arrive(self, transport: asyncio.Transport) -> Arrival:
        """Return who is at the other end of ``transport``, as far as that is known at once."""
        now = datetime.now(UTC)
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if not peer or not local:
            return Arrival(caller=Caller(address="?"), local_address="?", owner=None, connected=now)
        client, server = (peer[0], peer[1]), (local[0], local[1])
        owner = self._owner(client, server)
        if owner is None and (original := _original_destination(transport)) is not None:
            owner, server = self._owner(client, original), original  # redirected: the client knows the other address
        ours = str(address(server[0]))
        theirs = str(address(client[0]))
        listener = Address(ours, server[1]).url.removeprefix("http://").rstrip("/")
        if owner is None:
            place = Place.HERE if theirs == ours or address_is_here(theirs) else Place.ELSEWHERE
            caller = Caller(address=theirs, listener=listener, place=place)
            return Arrival(caller=caller, local_address=ours, owner=None, connected=now)
        user, groups = _names(owner.uid, int(time.monotonic() / NAMES_KEPT))
        caller = Caller(address=theirs, listener=listener, uid=owner.uid, user=user, groups=groups)
        return Arrival(caller=caller, local_address=ours, owner=owner, connected=now)

    async def look_up(self, arrival: Arrival) -> Caller:
        """Return the caller with all that can be found out; in a thread, of which no user can take all."""
        whose = arrival.owner.uid if arrival.owner is not None else None  # None is all who are elsewhere
        async with self._turns.setdefault(whose, asyncio.Semaphore(THREADS_OF_ONE)):
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._look_up, arrival)

    def glance(self, arrival: Arrival) -> Coroutine[Any, Any, Caller] | None:
        """Return what finds out more for the record, where no rule depends on it; None beyond ``GLANCES`` a second."""
        now = time.monotonic()
        self._glances = min(4.0 * GLANCES, self._glances + (now - self._glanced) * GLANCES)
        self._glanced = now
        if self._glances < 1 or self._glancing >= THREADS:
            return None
        self._glances -= 1
        return self._glance(arrival)

    async def _glance(self, arrival: Arrival) -> Caller:
        look = partial(self._look_up, arrival, thorough=False)
        self._glancing += 1
        try:
            async with asyncio.timeout(LONGEST_GLANCE):
                return await asyncio.get_running_loop().run_in_executor(self._threads, look)
        except TimeoutError:
            return arrival.caller
        finally:
            self._glancing -= 1

    async def explain_process(self, pid: int, listener: str) -> Caller:
        """Return a process as if it called; in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._explaining, self._of_process, pid, listener)

    async def explain_address(self, theirs: str, listener: str) -> Caller:
        """Return whoever has an address as if it called; in a thread."""
        place = Place.HERE if address_is_here(theirs) else Place.ELSEWHERE
        caller = Caller(address=theirs, listener=listener, place=place)
        arrival = Arrival(caller=caller, local_address="", owner=None, connected=datetime.now(UTC))
        return await asyncio.get_running_loop().run_in_executor(self._explaining, self._look_up, arrival)

    def close(self) -> None:
        """Close the look-up socket and give the threads up."""
        for threads in (self._threads, self._explaining):
            threads.shutdown(wait=False, cancel_futures=True)
        if self._diag is not None:
            self._diag.close()

    def _owner(self, client: EndPoint, server: EndPoint) -> Owner | None:
        if self._diag is None:
            return None
        try:
            return self._diag.owner(client, server)
        except OSError as error:
            logger.warning("the kernel does not tell who is calling: %s", error)
            return None

    def _look_up(self, arrival: Arrival, *, thorough: bool = True) -> Caller:
        caller, owner = arrival.caller, arrival.owner
        if owner is None and caller.place is Place.ELSEWHERE:
            container, contained = self._engines.at_address(caller.address, arrival.connected)
            return caller.with_facts(cgroup=None, process=None, container=container, in_container=contained)
        if owner is None:
            return caller.with_facts(cgroup=None, process=None, container=None, in_container=None)
        pid = processes.holder(owner.inode, owner.uid) if thorough else self._any_holder(owner)
        process = processes.describe(pid, owner.inode) if pid is not None else None
        cgroup = self._cgroups.path(owner.cgroup_id)
        if cgroup is None and process is not None:  # where cgroup v2 is mounted nowhere that this daemon sees
            cgroup = path_of_process(process.program.pid)
        return self._with_cgroup(caller, cgroup, process)

    def _any_holder(self, owner: Owner) -> int | None:
        """Return a process that holds the socket: the one that the same user's programs had last, most often."""
        kind = owner.uid, owner.cgroup_id
        last = self._last.get(kind)
        pid = processes.any_holder(owner.inode, owner.uid, [last] if last is not None else [])
        if pid is not None:
            if len(self._last) >= MOST_KINDS:
                self._last.clear()
            self._last[kind] = pid
        return pid

    def _with_cgroup(self, caller: Caller, cgroup: str | None, process: Process | None) -> Caller:
        container, contained = self._engines.in_cgroup(cgroup) if cgroup is not None else (None, None)
        if not contained and process is not None and process.program.command in ROOTLESS_NETWORKS:
            contained = True  # which one is not known
        return caller.with_facts(cgroup=cgroup, process=process, container=container, in_container=contained)

    def _of_process(self, pid: int, listener: str) -> Caller:
        try:
            uid = os.stat(f"/proc/{pid}").st_uid
        except OSError:
            return Caller(address="127.0.0.1", listener=listener).with_facts(
                cgroup=None, process=None, container=None, in_container=None
            )
        user, groups = _names(uid, int(time.monotonic() / NAMES_KEPT))
        caller = Caller(address="127.0.0.1", listener=listener, uid=uid, user=user, groups=groups)
        found = self._with_cgroup(caller, path_of_process(pid), processes.describe(pid))
        with suppress(OSError):
            if os.stat(f"/proc/{pid}").st_uid == uid:
                return found
        return caller.with_facts(cgroup=None, process=None, container=None, in_container=None)


def user_name(uid: int) -> str | None:
    """Return the name of a user, None for a uid without one."""
    return _names(uid, int(time.monotonic() / NAMES_KEPT))[0]


@lru_cache(maxsize=1024)
def _names(uid: int, _minute: int) -> tuple[str | None, tuple[str, ...] | None]:
    """Return a user's name, None without one, and groups, None where one of them may be any."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:  # of no such user, and of a directory that does not answer
        return None, None
    try:
        groups = [grp.getgrgid(gid).gr_name for gid in os.getgrouplist(entry.pw_name, entry.pw_gid)]
    except KeyError:
        return entry.pw_name, None
    return entry.pw_name, tuple(groups)


def _original_destination(transport: asyncio.Transport) -> EndPoint | None:
    """Return where a redirected connection was meant to go (netfilter's ``SO_ORIGINAL_DST``)."""
    connected = transport.get_extra_info("socket")
    with suppress(OSError, AttributeError):
        if connected.family == socket.AF_INET6:
            raw = connected.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, 28)
            _, port, _, packed, _ = struct.unpack("!HHI16sI", raw)
            return socket.inet_ntop(socket.AF_INET6, packed), port
        raw = connected.getsockopt(socket.IPPROTO_IP, _SO_ORIGINAL_DST, 16)
        _, port, packed = struct.unpack("!HH4s8x", raw)
        return socket.inet_ntop(socket.AF_INET, packed), port
    return None


def _open_sock_diag() -> SockDiag | None:
    if not hasattr(socket, "AF_NETLINK"):
        logger.warning("this system does not tell who is calling: every caller is unknown and will be refused")
        return None
    return SockDiag()
