"""systemd's protocols, over real sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imds.host.systemd import Notifier, listen_fds


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A service manager's socket, and how it is named in the environment."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        if request.param == "path":
            name = str(tmp_path / "notify")
            channel.bind(name)
        else:
            name = f"@imds-test-{os.getpid()}"
            channel.bind("\0" + name[1:])
        channel.settimeout(10)
        yield name, channel


@pytest.mark.parametrize(
    ("say", "said"),
    [
        (lambda it: it.ready("3 roles"), "READY=1\nSTATUS=3 roles"),
        (lambda it: it.status("3 roles"), "STATUS=3 roles"),
        (lambda it: it.stopping(), "STOPPING=1"),
        (lambda it: it.alive(), "WATCHDOG=1"),
    ],
)
def test_what_the_manager_hears(manager: tuple[str, socket.socket], say: Callable[[Notifier], None], said: str) -> None:
    """One datagram each, to a path and to an abstract name."""
    name, channel = manager
    say(Notifier({"NOTIFY_SOCKET": name}))
    assert channel.recv(4096).decode() == said


def test_reloading_tells_the_time(manager: tuple[str, socket.socket]) -> None:
    """The manager wants microseconds of the monotonic clock with it."""
    name, channel = manager
    Notifier({"NOTIFY_SOCKET": name}).reloading()
    first, second = channel.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    key, _, value = second.partition("=")
    assert key == "MONOTONIC_USEC"
    assert value.isdigit()


def test_without_a_manager_nothing_is_said() -> None:
    """Started by hand, nothing happens."""
    Notifier({}).ready("x")


def test_a_manager_that_does_not_read_holds_nothing_up(manager: tuple[str, socket.socket]) -> None:
    """With its queue full, what we say is lost, and we go on."""
    name, channel = manager
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as other:
        other.connect("\0" + name[1:] if name.startswith("@") else name)
        with contextlib.suppress(BlockingIOError):
            while True:
                other.send(b"STATUS=x")
    Notifier({"NOTIFY_SOCKET": name}).alive()
    assert channel.recv(64) == b"STATUS=x"


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
    ],
)
def test_the_watchdog_hears_twice_per_interval(environment: dict[str, str], interval: float | None) -> None:
    """Only where it is meant for this process."""
    assert Notifier(environment).watchdog_interval == interval


@pytest.mark.parametrize("pid", ["", "1", "x"])
def test_sockets_for_another_process_are_not_taken(pid: str) -> None:
    """The variables are gone all the same: no child shall believe them."""
    environment = {"LISTEN_PID": pid, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b", "PATH": "x"}
    assert listen_fds(environment) == []
    assert environment == {"PATH": "x"}


@pytest.mark.parametrize("count", ["many", "", "-1", "²", "0"])
def test_a_count_that_is_none_gives_nothing(count: str) -> None:
    """Garbage is not taken for sockets."""
    assert listen_fds({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count}) == []


REFUSED = """\
import os, socket, sys
from imds.core.errors import AddressTakenError
from imds.host.systemd import listen_fds
os.closerange(3, 64)
opened = eval(sys.argv[1])
try:
    listen_fds({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})
except AddressTakenError as error:
    print(error)
"""


@pytest.mark.parametrize(
    "opened",
    [
        "None",
        "open('/dev/null')",
        "socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    ],
)
def test_what_cannot_be_served_on_is_told(opened: str) -> None:
    """Nothing at all, a file, another kind of socket or one that does not listen: an error that names descriptor 3."""
    command = [sys.executable, "-c", REFUSED, opened]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert " 3, handed over by the service manager" in done.stdout
    assert done.stderr == ""


RECEIVER = """\
import os, sys
from imds.host.systemd import listen_fds
os.dup2(int(sys.argv[1]), 3)
environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
(one,) = listen_fds(environment)
print(one.getsockname()[1], one.getblocking(), os.get_inheritable(one.fileno()), listen_fds(environment))
"""


def test_a_socket_is_handed_over() -> None:
    """Descriptor 3 becomes a socket that does not block and that children do not inherit; once only."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        command = [sys.executable, "-c", RECEIVER, str(fd)]
        done = subprocess.run(command, pass_fds=(fd,), capture_output=True, text=True, check=True, timeout=30)
        assert done.stdout.split() == [str(listener.getsockname()[1]), "False", "False", "[]"]
