"""Who is at the other end of a connection: at once what the kernel says of its socket, the rest where it is wanted.

On Linux the owner is asked for when a connection is accepted, because a client that sends and exits is gone a moment
later. What takes longer (users' names, the process, its ancestors, its container; elsewhere the owner) is looked up in
threads, only where a rule or the audit wants it, and no longer than a client waits. A peer whose socket is not here
(another host, another network namespace, gone already) stays unknown, and unknown matches no rule.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imds.core.callers import EVERYTHING, OWNER, OWNER_AND_NAMES, Caller, Fact, Place
from imds.host.cgroups import container_id
from imds.host.containers import Call, Contained, Engines
from imds.host.finding import LONGEST_LOOK
from imds.host.linux import Linux
from imds.host.listeners import Address, address_is_here
from imds.host.names import Names, UserNames, names_of
from imds.host.portable import Portable
from imds.host.shared_lookups import SharedLookUps
from imds.host.sock_diag import address

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from pathlib import Path

    from imds.host.finding import Connection, EndPoint, Ends, Finder, Found, Owner

THREADS = 4
"""For processes; one user's connections take one of them."""

THREADS_OF_GLANCES = 2

THREADS_OF_ENGINES = 2
"""For the containers of processes here, and as many for other addresses; apart from the rest: an engine may hang."""

GLANCES = 50
"""Processes looked up in a second for the record alone, four times that at once; beyond that a line says who it was,
but not which process. Threads that look take their time from the one that answers."""

LONGEST_GLANCE = 0.1
"""Seconds for which an answer waits for that."""

_SO_ORIGINAL_DST = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A connection as it was accepted: what is known of the caller at once, and what the rest is looked up by.

    Attributes:
        local_address: the address of ours that the client asked, where it was redirected the one before that.
        ends: the connection as the client knows it; None where that is not known, or nobody has connected.
    """

    caller: Caller
    local_address: str
    owner: Owner | Connection | None
    connected: datetime
    ends: Ends | None = None


ROOTLESS_NETWORKS = frozenset({"slirp4netns", "pasta", "pasta.avx2", "passt", "passt.avx2", "rootlesskit"})
"""Programs that make connections for containers of a user."""


class Callers:
    """Looks callers up; one per process.

    Args:
        engines: sockets of container engines.
        look_names: asks the user database.
        finder: finds who has a socket; this platform's unless told otherwise.
    """

    def __init__(
        self,
        engines: Iterable[Path] = (),
        look_names: Callable[[int], Names] = names_of,
        finder: Finder | None = None,
    ) -> None:
        self._names = UserNames(look_names)
        self._host = finder or _finder()
        self._engines = known = Engines(engines)
        self._processes = SharedLookUps(self._host.find, threads=THREADS, name="callers")
        self._glimpses = SharedLookUps(self._host.glance, threads=THREADS_OF_GLANCES, name="glances")
        self._explained = SharedLookUps(self._host.of_processes, threads=1, name="explain")
        self._by_cgroup = SharedLookUps(known.in_cgroups, threads=THREADS_OF_ENGINES, name="engines")
        self._by_address = SharedLookUps(known.at_address, threads=THREADS_OF_ENGINES, name="addresses")
        self._glances, self._glanced = 4.0 * GLANCES, 0.0

    def arrive(self, transport: asyncio.Transport) -> Arrival:
        """Return who is at the other end of ``transport``, as far as that is known at once."""
        now = datetime.now(UTC)
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if not peer or not local:
            return Arrival(caller=Caller(address="?"), local_address="?", owner=None, connected=now)
        client, server = (peer[0], peer[1]), (local[0], local[1])
        owner = self._host.owner(client, server)
        if owner is None and (original := _original_destination(transport)) is not None:
            owner, server = (
                self._host.owner(client, original),
                original,
            )  # redirected: it knows the other one
        ours = str(address(server[0]))
        theirs = str(address(client[0]))
        listener = Address(ours, server[1]).url.removeprefix("http://").rstrip("/")
        if owner is None:
            place = Place.HERE if theirs == ours or address_is_here(theirs) else Place.ELSEWHERE
            caller = Caller(address=theirs, listener=listener, place=place, looked_up=OWNER_AND_NAMES)
            return Arrival(caller=caller, local_address=ours, owner=None, connected=now, ends=(client, server))
        caller = self._known_at_once(theirs, listener, owner.uid)
        return Arrival(caller=caller, local_address=ours, owner=owner, connected=now)

    def _known_at_once(self, theirs: str, listener: str, uid: int | None) -> Caller:
        if uid is None:
            return Caller(address=theirs, listener=listener)
        names = self._names.known(uid)
        if names is None:
            return Caller(address=theirs, listener=listener, uid=uid, looked_up=OWNER)
        user, groups = names
        known = OWNER_AND_NAMES
        return Caller(address=theirs, listener=listener, uid=uid, user=user, groups=groups, looked_up=known)

    async def look_up(self, arrival: Arrival, caller: Caller, wanted: frozenset[Fact] = EVERYTHING) -> Caller:
        """Return ``caller`` with what of the wanted facts is found out in ``LONGEST_LOOK``; the rest is not known."""
        found = await self._find(arrival, caller, wanted, self._processes, LONGEST_LOOK)
        return replace(found, looked_up=found.looked_up | wanted)

    def glance(self, arrival: Arrival, caller: Caller) -> Coroutine[Any, Any, Caller] | None:
        """Return what finds out more for the record, where no rule depends on it; None where there is nothing to do.

        Processes are looked up ``GLANCES`` times a second at most.
        """
        wanted = EVERYTHING - caller.looked_up
        if Fact.PROCESS in wanted and not self._may_glance():
            wanted -= {Fact.OWNER, Fact.PROCESS}
        return self._find(arrival, caller, wanted, self._glimpses, LONGEST_GLANCE) if wanted else None

    def _may_glance(self) -> bool:
        now = time.monotonic()
        self._glances = min(4.0 * GLANCES, self._glances + (now - self._glanced) * GLANCES)
        self._glanced = now
        if self._glances < 1:
            return False
        self._glances -= 1
        return True

    async def explain_process(self, pid: int, listener: str) -> Caller:
        """Return a process as if it called."""
        caller = Caller(address="127.0.0.1", listener=listener)
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_LOOK):
                found = await self._explained.ask(None, pid)
                if found is not None:
                    caller = _with(caller, found)
                    caller = await self._contained(caller)
        return replace(await self._named(caller, LONGEST_LOOK), looked_up=EVERYTHING)

    async def explain_user(self, uid: int, listener: str) -> Caller:
        """Return a user as if an unknown process of theirs called."""
        caller = await self._named(Caller(address="127.0.0.1", listener=listener, uid=uid), LONGEST_LOOK)
        return replace(caller, looked_up=EVERYTHING)

    async def explain_address(self, theirs: str, listener: str) -> Caller:
        """Return whoever has an address as if it called."""
        place = Place.HERE if address_is_here(theirs) else Place.ELSEWHERE
        caller = Caller(address=theirs, listener=listener, place=place)
        arrival = Arrival(caller=caller, local_address="", owner=None, connected=datetime.now(UTC))
        return await self.look_up(arrival, caller)

    def last_name(self, uid: int | None) -> str | None:
        """Return a user's name, as far as it is known without asking."""
        return self._names.last_known(uid) if uid is not None else None

    def close(self) -> None:
        """Close the look-up socket and give the threads up."""
        for threads in (self._processes, self._glimpses, self._explained, self._by_cgroup, self._by_address):
            threads.close()
        self._engines.close()
        self._names.close()
        self._host.close()

    async def _find(
        self,
        arrival: Arrival,
        caller: Caller,
        wanted: frozenset[Fact],
        processes: SharedLookUps[int | None, Owner | Connection, Found],
        seconds: float,
    ) -> Caller:
        """Return ``caller`` with what of the wanted facts can be found out in time."""
        if Fact.NAMES not in wanted:
            return await self._with_process(arrival, caller, processes, seconds)
        if wanted == {Fact.NAMES}:
            return await self._named(caller, seconds)
        found, named = await asyncio.gather(
            self._with_process(arrival, caller, processes, seconds), self._named(caller, seconds)
        )
        return replace(found, user=named.user, groups=named.groups, looked_up=found.looked_up | named.looked_up)

    async def _named(self, caller: Caller, seconds: float) -> Caller:
        """Return ``caller`` with its user's names, if they are found in time."""
        if caller.uid is None:
            return caller.with_names(None, None)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return caller.with_names(*await self._names.ask(caller.uid))
        return caller

    async def _with_process(
        self,
        arrival: Arrival,
        caller: Caller,
        processes: SharedLookUps[int | None, Owner | Connection, Found],
        seconds: float,
    ) -> Caller:
        """Return ``caller`` with its process, control group and container, as far as they are found in time."""
        owner = arrival.owner
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if owner is not None:
                    caller = _with(caller, await processes.ask(owner.uid, owner))
                caller = await self._contained(caller, Call(arrival.ends, arrival.connected))
        return caller

    async def _contained(self, caller: Caller, call: Call | None = None) -> Caller:
        """Return the caller with its container, where there is one, and its process there."""
        answer: Contained | None = None
        if caller.place is Place.ELSEWHERE and call is not None:
            answer = await self._by_address.ask(caller.address, call)
        elif caller.uid is not None and caller.cgroup is not None:
            no_container = container_id(caller.cgroup) is None
            answer = Contained(None, False) if no_container else await self._by_cgroup.ask(caller.uid, caller.cgroup)
        container, contained, found = answer or Contained(None, None)
        if not contained and caller.process is not None and caller.process.program.command in ROOTLESS_NETWORKS:
            contained = True  # which one is not known
        if found is not None:
            # not its uid: in a container with a network of its own nobody is a user of this host
            caller = replace(caller, container_uid=found.uid, process=found.process, cgroup=found.cgroup)
        return caller.with_facts(
            cgroup=caller.cgroup, process=caller.process, container=container, in_container=contained
        )


def _with(caller: Caller, found: Found | None) -> Caller:
    if found is None:
        return caller
    uid = caller.uid if caller.uid is not None else found.uid
    return replace(caller, uid=uid, process=found.process, cgroup=found.cgroup, looked_up=caller.looked_up | OWNER)


def _finder() -> Finder:
    """Return this platform's."""
    return Linux() if sys.platform == "linux" else Portable()


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
