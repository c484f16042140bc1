"""Which container and which process in it has made a connection, however late its engine says what has happened."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.engine import StandInEngine
from support.namespaces import needs_root, run
from support.neighbourhood import Neighbourhood

from imds.host import cgroups, first_process, followed
from imds.host.containers import Call, Engines
from imds.host.first_process import FirstProcess
from imds.host.listeners import address_is_here

OURS = ("169.254.169.254", 80)
CLIENT = """\
import encodings.idna, os, socket, sys
uid, host, port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
if uid:
    os.setuid(uid)
kept = []
print("ready", flush=True)
for line in sys.stdin:
    kept.append(socket.create_connection((host, port)))
    print("connected", flush=True)
"""


class Client:
    """A program that connects whenever it is told to, and stays."""

    def __init__(self, prefix: tuple[str, ...] = (), *, group: str = "", uid: int = 0, address=OURS) -> None:
        command = [*prefix, sys.executable, "-c", CLIENT, str(uid), address[0], str(address[1])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        assert self._process.stdout.readline() == "ready\n"
        self.pid = self._process.pid
        if group:
            Path(group, "cgroup.procs").write_text(str(self.pid))

    def call(self, server: socket.socket) -> Call:
        """Connect; return the connection as it was accepted."""
        self._process.stdin.write("\n")
        assert self._process.stdout.readline() == "connected\n"
        accepted, client = server.accept()
        accepted.close()
        return Call((client[:2], server.getsockname()[:2]), datetime.now(UTC))

    def end(self) -> None:
        """End it, as a container's first process does when the container stops."""
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def identity(number: int) -> str:
    """Return the id that the stand-in gives."""
    return f"{number:064x}"


@contextmanager
def group_of(container_id: str):
    """Make a container's control group."""
    root = cgroups.mount_point()
    if root is None:
        pytest.skip("needs cgroup v2")
    group = root / f"imds-test-{os.getpid()}-{container_id}"
    group.mkdir()
    try:
        yield str(group)
    finally:
        for _ in range(100):  # its processes are gone, the kernel may not have noticed
            with suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.02)


@contextmanager
def two_containers(tmp_path: Path):
    """Yield a neighbourhood, its engine, who listens on the host, and a function that starts containers in it."""
    path = tmp_path / "docker.sock"
    with Neighbourhood() as there, StandInEngine(path) as engine, ExitStack() as stack:
        server = stack.enter_context(there.host.call(socket.create_server, OURS))

        def start(number: int, where, **more) -> Client:
            group = stack.enter_context(group_of(identity(number)))
            client = stack.enter_context(Client(where.prefix, group=group, **more))
            engine.run(number, address=there.CONTAINER, pid=client.pid)
            return client

        yield there, engine, server, start


def ask(engines: Engines, call: Call):
    """Return who has made one connection."""
    return engines.at_address(call.ends[0][0], frozenset([call]))[call]


def asked(engine: StandInEngine) -> int:
    """Return how often a container was asked for, and forget it."""
    count = sum("/events" not in path for path in engine.asked)
    engine.asked.clear()
    return count


def until(condition) -> None:
    """Wait for what happens in another thread."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@needs_root
def test_what_an_engine_said_is_kept_while_its_events_are_heard(tmp_path, monkeypatch):
    """One question serves until something happens to the container, or nothing is heard any more."""
    monkeypatch.setattr(followed, "SHORTEST_WAIT", 0.02)
    with two_containers(tmp_path) as (there, engine, server, start):
        one, engines = start(1, there.container, uid=1234), Engines([engine.path])
        try:
            told = ask(engines, one.call(server))
            assert (told.container.name, told.known, told.found.uid) == ("c1", True, 1234)
            assert told.found.process.program.pid == one.pid
            assert identity(1) in told.found.cgroup
            assert engine.followed.wait(10)
            until(lambda: ask(engines, one.call(server)) and kept_ids(engines) == [identity(1)])
            asked(engine)
            assert ask(engines, one.call(server)).found.process.program.pid == one.pid
            assert asked(engine) == 0, "it is known"
            engine.containers[identity(1)]["Name"] = "/renamed"
            engine.happens(identity(2), "rename")
            engine.happens(identity(1), "rename")
            until(lambda: not kept_ids(engines))
            assert ask(engines, one.call(server)).container.name == "renamed"
            assert asked(engine) > 0
            engine.told.put(None)
            until(lambda: not kept_ids(engines))
            assert engine.followed.wait(10)
            for garbage in (b"no JSON\n", b"[]\n", b'{"Actor": []}\n'):
                until(lambda: ask(engines, one.call(server)) and kept_ids(engines))
                engine.told.put(garbage)
                until(lambda: not kept_ids(engines))
                engine.told.put(None)
        finally:
            engines.close()


def kept_ids(engines: Engines) -> list[str]:
    """Return the containers that are kept."""
    return [known.running.container.id for one in engines._engines.values() for known in list(one._kept.values())]


@needs_root
def test_an_address_given_to_another_before_its_engine_says_so(tmp_path):
    """Nothing is heard of a container's end, and the next at its address is not taken for it."""
    with two_containers(tmp_path) as (there, engine, server, start):
        first, engines = start(1, there.container), Engines([engine.path])
        try:
            assert ask(engines, first.call(server)).container.name == "c1"
            until(lambda: ask(engines, first.call(server)) and kept_ids(engines))
            late, follower = first.call(server), engines._engines[engine.path]
            known = follower.remembered(there.CONTAINER)
            first.end()
            engine.containers.clear()
            second = start(2, there.container)
            call = second.call(server)
            assert known.first.owners([call.ends], time.monotonic() + 30) == {}, "in its network, but it has ended"
            assert follower.remembered(there.CONTAINER) is None
            told = ask(engines, second.call(server))
            assert (told.container.name, told.found.process.program.pid) == ("c2", second.pid)
            # one that was made by the first is not the second's, if it was started afterwards
            engine.run(2, address=there.CONTAINER, pid=second.pid, age=0)
            assert ask(engines, late) == (None, None, None)
            # a container that lives on without the address: the connection is not in its network
            engine.containers.clear()
            engines.close()
            engines = Engines([engine.path])
            third = start(3, there.lan)
            until(lambda: ask(engines, second.call(server)) and kept_ids(engines) == [identity(3)])
            engine.containers.clear()
            engine.run(2, address=there.CONTAINER, pid=second.pid)
            told = ask(engines, second.call(server))
            assert (told.container.name, told.found.process.program.pid) == ("c2", second.pid)
            assert third.pid != second.pid
        finally:
            engines.close()


@needs_root
def test_without_a_look_up_socket_the_engine_is_asked_each_time(tmp_path, monkeypatch):
    """A daemon that may not enter the network finds the process by its tables, and goes by nothing said before."""
    monkeypatch.setattr(first_process, "_diag_in", lambda _pinned: None)
    with two_containers(tmp_path) as (there, engine, server, start):
        one, engines = start(1, there.container, uid=1234), Engines([engine.path])
        try:
            for _ in range(3):
                asked(engine)
                told = ask(engines, one.call(server))
                assert (told.container.name, told.found.uid) == ("c1", 1234)
                assert told.found.process.program.pid == one.pid
                assert asked(engine) > 0
        finally:
            engines.close()


@needs_root
def test_another_container_in_the_same_network_is_itself(tmp_path):
    """Who shares a container's network is not that container: its own control group says what it is."""
    with two_containers(tmp_path) as (there, engine, server, start):
        one, engines = start(1, there.container), Engines([engine.path])
        try:
            two = start(2, there.container)
            engine.run(2, pid=two.pid)
            told = ask(engines, two.call(server))
            assert (told.container.name, told.found.process.program.pid) == ("c2", two.pid)
            del engine.containers[identity(2)]
            assert ask(engines, two.call(server))[:2] == (None, True), "one that no engine knows"
            assert ask(engines, one.call(server)).container.name == "c1"
        finally:
            engines.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("enters", [True, False])
def test_connections_of_a_network(host, enters, monkeypatch):
    """IPv4, IPv6 and Java's kind are found with a look-up socket and in the tables alike; others are not."""
    own = cgroups.path_of_process(os.getpid())
    if sys.platform != "linux" or own is None:
        pytest.skip("needs Linux with cgroup v2")
    if not enters:
        monkeypatch.setattr(first_process, "_diag_in", lambda _pinned: None)
    first = FirstProcess(os.getpid(), own)
    if enters and not first.enters:
        pytest.skip("needs root, to enter network namespaces")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        socket.create_server((host.removeprefix("::ffff:"), 0))
        if "." in host
        else socket.create_server((host, 0), family=family) as server
    ):
        with Client(address=(host, server.getsockname()[1])) as client:
            call = client.call(server)
            soon = time.monotonic() + 30
            other = (call.ends[0], ("127.0.0.2", 80))
            owners = first.owners([call.ends, other], soon)
            assert set(owners) == {call.ends}
            assert owners[call.ends].uid == os.getuid()
            found = first.find(frozenset(owners.values()), soon)
            assert [one.process.program.pid for one in found.values()] == [client.pid]
            assert enters or first.owners([call.ends], time.monotonic() - 1) == {}, "too late"
            assert first.find(frozenset(owners.values()), 0.0)[owners[call.ends]].process is None, "too late"
        assert first.owners([call.ends], soon) == {}, "it has gone"


def test_only_a_containers_own_process_is_its_first():
    """A number of a virtual machine's, or of somebody else's process, names no process of the container."""
    with pytest.raises(ProcessLookupError):
        FirstProcess(os.getpid(), identity(7))
    with pytest.raises(OSError, match="No such process"):
        FirstProcess(1 << 22, identity(7))


def test_users_without_a_number_here_are_not_known():
    """In a user namespace the kernel tells all whom it does not map as one; that is nobody in particular."""
    code = "from imds.host.sock_diag import is_known; print(is_known(0), is_known(65534), is_known(1000))"
    for prefix, expected in ((), "True True True"), (("unshare", "--user", "--map-root-user"), "True False True"):
        done = subprocess.run([*prefix, sys.executable, "-c", code], capture_output=True, text=True, check=False)
        if prefix and done.returncode:
            pytest.skip(f"needs user namespaces: {done.stderr}")
        assert done.stdout.strip() == expected


@needs_root
def test_where_everybody_may_bind_to_addresses_of_others(namespace):
    """With ``ip_nonlocal_bind`` a neighbour's address is not this host's, because a socket can be bound to it."""
    addresses = ("169.254.169.254", "127.0.0.9", "0.0.0.0", "10.9.9.9", "fd00:ec2::254", "::", "fd00::9")  # noqa: S104
    expected = [True, True, True, False, True, True, False]
    for allowed in ("0", "1"):
        for version in ("ipv4", "ipv6"):
            run(*namespace.prefix, "sysctl", "-qw", f"net.{version}.ip_nonlocal_bind={allowed}")
        assert [namespace.call(address_is_here, address) for address in addresses] == expected
