"""What is found out of real connections and processes, and what a look-up that hangs leaves unknown."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from imds.core.callers import EVERYTHING, Caller, Fact, Place
from imds.core.matching import Match
from imds.core.policy import Rule, decide
from imds.host import callers as looking
from imds.host import names, processes
from imds.host.callers import Arrival, Callers
from imds.host.names import Names, names_of
from imds.host.sock_diag import SockDiag

HERD = 40
STRANGER = 54321
RULES = (
    Rule(match=Match(ancestors=("agent-x",)), instance="agent", text="agent"),
    Rule(match=Match(users=("*",)), instance="default", text="all"),
)
CHILD = """\
import socket, sys
kept = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("connected", flush=True)
sys.stdin.read()
"""


class Accepted:
    """As much of a transport as the look-up asks for."""

    def __init__(self, accepted: socket.socket) -> None:
        self._known = {
            "peername": accepted.getpeername(),
            "sockname": accepted.getsockname(),
            "socket": accepted,
        }

    def get_extra_info(self, name: str):
        return self._known[name]


@contextmanager
def connections(number: int = 1):
    """Connect this process to itself so many times; yield what was accepted."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=number))
        for _ in range(number):
            stack.enter_context(socket.create_connection(server.getsockname()))
        yield [Accepted(stack.enter_context(server.accept()[0])) for _ in range(number)]


@contextmanager
def looked_up_by(*engines: Path, look_names=names_of):
    """Look callers up."""
    callers = Callers(engines, look_names)
    try:
        yield callers
    finally:
        callers.close()


def elsewhere(callers: Callers, address: str) -> Arrival:
    """Return a connection from another host."""
    with connections() as (accepted,):
        known = callers.arrive(accepted)
    caller = Caller(address=address, place=Place.ELSEWHERE)
    return Arrival(caller=caller, local_address="127.0.0.1", owner=None, connected=known.connected)


async def look_up(callers: Callers, arrival: Arrival) -> Caller:
    """Find everything out."""
    return await callers.look_up(arrival, arrival.caller)


async def test_a_herd_is_looked_up_together():
    """However many connections of a user come at once, its processes are looked through twice at most."""
    scans = []
    with looked_up_by() as callers, connections(HERD) as accepted:
        find = callers._host.find
        callers._processes._look = lambda uid, owners: scans.append(len(owners)) or find(uid, owners)
        arrivals = [callers.arrive(one) for one in accepted]
        found = await asyncio.gather(*(callers.look_up(arrival, arrival.caller) for arrival in arrivals))
    assert {caller.process.program.pid for caller in found} == {os.getpid()}
    assert all(caller.looked_up == EVERYTHING for caller in found)
    assert sum(scans) == HERD
    assert len(scans) <= 2


async def test_a_look_up_that_hangs_is_unknown_and_holds_up_its_own_user_only(monkeypatch):
    """After the deadline what is not known is not known, which refuses; another user's look-up is done meanwhile."""
    hanging, go_on = threading.Event(), threading.Event()
    with looked_up_by() as callers, connections(2) as accepted:
        mine, other = (callers.arrive(one) for one in accepted)
        find = callers._host.find

        def find_or_hang(uid, owners):
            if uid == STRANGER:
                hanging.set()
                assert go_on.wait(30)
            return find(uid, owners)

        callers._processes._look = find_or_hang
        other = Arrival(
            caller=other.caller,
            local_address=other.local_address,
            owner=other.owner._replace(uid=STRANGER),
            connected=other.connected,
        )
        monkeypatch.setattr(looking, "LONGEST_LOOK", 30.0)
        waiting = [asyncio.create_task(look_up(callers, other)) for _ in range(looking.THREADS * 2)]
        await asyncio.to_thread(hanging.wait, 10)
        assert (await look_up(callers, mine)).process.program.pid == os.getpid()
        assert not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        monkeypatch.setattr(looking, "LONGEST_LOOK", 0.05)
        unknown = await look_up(callers, other)
        go_on.set()
    assert (unknown.process, unknown.cgroup, unknown.in_container, unknown.looked_up) == (None, None, None, EVERYTHING)
    assert decide(unknown, RULES).instance is None
    assert "not known" in decide(unknown, RULES).because


async def test_an_engine_that_hangs_holds_up_no_process(tmp_path, monkeypatch):
    """While an engine does not answer, processes are found as ever; of its containers nothing is known in the end."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as engine, connections() as (accepted,):
        engine.bind(str(path))
        engine.listen(64)
        with looked_up_by(path) as callers:
            monkeypatch.setattr(looking, "LONGEST_LOOK", 30.0)
            addresses = [elsewhere(callers, f"10.9.8.{number}") for number in range(looking.THREADS * 2)]
            waiting = [asyncio.create_task(look_up(callers, arrival)) for arrival in addresses]
            asked, _ = await asyncio.get_running_loop().run_in_executor(None, engine.accept)
            found = await look_up(callers, callers.arrive(accepted))
            assert found.process.program.pid == os.getpid()
            assert not any(task.done() for task in waiting)
            for task in waiting:
                task.cancel()
            monkeypatch.setattr(looking, "LONGEST_LOOK", 0.05)
            unknown = await look_up(callers, elsewhere(callers, "10.9.8.99"))
            asked.close()
    assert (unknown.container, unknown.in_container, unknown.looked_up) == (None, None, EVERYTHING)


BY_GROUP = (
    Rule(match=Match(groups=("wheel",)), instance="admin", text="wheel"),
    Rule(match=Match(users=(os.getuid(),)), instance="default", text="own"),
)


async def test_a_directory_that_hangs_holds_up_who_needs_it_only(monkeypatch):
    """A rule by uid asks for no name; one by name waits no longer than the deadline, and is refused."""
    hanging, go_on = threading.Event(), threading.Event()

    def hang(_uid: int) -> Names:
        hanging.set()
        assert go_on.wait(30)
        return Names("late", ("wheel",))

    with looked_up_by(look_names=hang) as callers, connections() as (accepted,):
        arrival = callers.arrive(accepted)
        assert (arrival.caller.uid, arrival.caller.user) == (os.getuid(), None)
        assert decide(arrival.caller, BY_GROUP[1:]).instance == "default"
        assert decide(arrival.caller, BY_GROUP).wants == {Fact.NAMES}
        assert not hanging.is_set()
        monkeypatch.setattr(looking, "LONGEST_LOOK", 0.05)
        unknown = await callers.look_up(arrival, arrival.caller, frozenset({Fact.NAMES}))
        assert hanging.is_set()
        assert (unknown.groups, unknown.looked_up) == (None, {Fact.OWNER, Fact.NAMES})
        assert decide(unknown, BY_GROUP).because == "rule 1 (wheel) asks for what is not known of it"
        monkeypatch.setattr(looking, "LONGEST_GLANCE", 0.05)
        glanced = await callers.glance(arrival, arrival.caller)
        assert (glanced.user, glanced.process.program.pid) == (None, os.getpid()), "the record has what there is"
        go_on.set()
        monkeypatch.setattr(looking, "LONGEST_LOOK", 30.0)
        late = await callers.look_up(arrival, arrival.caller, frozenset({Fact.NAMES}))
    assert decide(late, BY_GROUP).instance == "admin"


async def test_names_are_known_at_once_for_a_minute(monkeypatch):
    """Whose names have been looked up has them when the next connection is accepted; later they are asked for anew."""
    asked = []

    def look_names(uid: int) -> Names:
        asked.append(uid)
        return Names("somebody", ("some",))

    with looked_up_by(look_names=look_names) as callers, connections() as (accepted,):
        first = callers.arrive(accepted)
        await callers.glance(first, first.caller)
        named = callers.arrive(accepted).caller
        assert (named.user, named.groups, named.looked_up) == ("somebody", ("some",), {Fact.OWNER, Fact.NAMES})
        assert decide(named, BY_GROUP).instance == "default"
        found = await look_up(callers, callers.arrive(accepted))
        assert asked == [os.getuid()]
        assert str(found).endswith(f"(pid {os.getpid()}) of somebody (uid {os.getuid()})")
        monkeypatch.setattr(names, "KEPT", 0.0)
        assert callers.arrive(accepted).caller.user is None
        assert callers.last_name(os.getuid()) == "somebody"
        await look_up(callers, callers.arrive(accepted))
        assert asked == [os.getuid()] * 2


def test_names_of_users():
    """The user database's; a uid that it does not know has none."""
    entry = pwd.getpwuid(os.getuid())
    assert names_of(os.getuid()).user == entry.pw_name
    assert grp.getgrgid(entry.pw_gid).gr_name in names_of(os.getuid()).groups
    assert names_of(STRANGER) == Names(None, None)


def test_the_oldest_holder_of_each_socket_is_found_in_one_look():
    """Sockets of several processes are found at once; what a parent has opened is not its child's."""
    with socket.create_server(("127.0.0.1", 0)) as server, closing(SockDiag()) as diag:
        children = [
            subprocess.Popen(
                [sys.executable, "-c", CHILD, str(server.getsockname()[1])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for _ in range(3)
        ]
        mine = socket.create_connection(server.getsockname())
        mine.set_inheritable(True)
        heir = subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False)
        try:
            for child in children:
                assert child.stdout.readline()
            holders = {}
            for _ in range(4):
                accepted, client = server.accept()
                owner = diag.owner(client[:2], server.getsockname())
                holders[owner.inode] = None
                accepted.close()
            found = processes.holders(holders, os.getuid())
            assert sorted(found.values()) == sorted([os.getpid(), *(child.pid for child in children)])
            assert set(found) == set(holders)
            assert processes.holders(holders, None) == found, "of everybody's processes"
            assert processes.holders([1, *holders], os.getuid()) == found, "a socket that nobody has is left out"
            assert processes.holders(holders, os.getuid(), until=0.0) == {}, "an older one may not have been seen"
            described = processes.describe_holder(children[0].pid, holders)
            assert [process.program.pid for process in described.values()] == [children[0].pid]
            assert processes.describe_holder(os.getpid(), [1]) == {}, "it holds no such socket any more"
        finally:
            mine.close()
            for child in (*children, heir):
                child.communicate()
        assert processes.holders(holders, os.getuid()) == {}
        assert processes.describe_holder(children[0].pid, holders) == {}
