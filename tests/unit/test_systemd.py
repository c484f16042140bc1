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

from imds.host.systemd import STORED, HandedOver, Notifier, handed_over, keeps_descriptors


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
    assert handed_over(environment) == HandedOver()
    assert environment == {"PATH": "x"}


@pytest.mark.parametrize("count", ["many", "", "-1", "²", "0"])
def test_a_count_that_is_none_gives_nothing(count: str) -> None:
    """Garbage is not taken for sockets."""
    assert handed_over({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count}) == HandedOver()


REFUSED = """\
import os, socket, sys
from imds.core.errors import AddressTakenError
from imds.host.systemd import handed_over
os.closerange(3, 64)
opened = eval(sys.argv[1])
try:
    handed_over({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})
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
from imds.host.systemd import handed_over
os.dup2(int(sys.argv[1]), 3)
environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
(one,) = handed_over(environment).sockets
print(one.getsockname()[1], one.getblocking(), os.get_inheritable(one.fileno()), handed_over(environment).sockets)
"""


def test_a_socket_is_handed_over() -> None:
    """Descriptor 3 becomes a socket that does not block and that children do not inherit; once only."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        command = [sys.executable, "-c", RECEIVER, str(fd)]
        done = subprocess.run(command, pass_fds=(fd,), capture_output=True, text=True, check=True, timeout=30)
        assert done.stdout.split() == [str(listener.getsockname()[1]), "False", "False", "()"]


STORED_RECEIVER = """\
import os, sys
from imds.host.systemd import handed_over
for number, fd in enumerate(sys.argv[2:]):
    os.dup2(int(fd), 3 + number)
names, count = sys.argv[1], str(len(sys.argv) - 2)
given = handed_over({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count, "LISTEN_FDNAMES": names})
print(len(given.sockets), *(f"{name}={fd}{os.get_inheritable(fd)}" for name, fd in given.stored.items()))
"""


def test_files_left_with_the_manager_are_told_from_sockets() -> None:
    """By their names; children do not inherit them, and one that is not there is none."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        left = os.memfd_create("left")
        fds = (listener.fileno(), left)
        names = f"imds.socket:{STORED}7"
        command = [sys.executable, "-c", STORED_RECEIVER, names, *map(str, fds)]
        done = subprocess.run(command, pass_fds=fds, capture_output=True, text=True, check=True, timeout=30)
        os.close(left)
    assert done.stdout == f"1 {STORED}7=4False\n"


def test_a_file_under_another_name_is_no_socket() -> None:
    """Only what we have named is taken for ours."""
    left = os.memfd_create("left")
    command = [sys.executable, "-c", STORED_RECEIVER, "other", str(left)]
    done = subprocess.run(command, pass_fds=(left,), capture_output=True, text=True, check=False, timeout=30)
    os.close(left)
    assert "descriptor 3, handed over by the service manager, is no socket" in done.stderr


@pytest.mark.parametrize(
    ("environment", "keeps"),
    [
        ({}, False),
        ({"FDSTORE": "4"}, False),
        ({"NOTIFY_SOCKET": "/x", "FDSTORE": "4"}, True),
        ({"NOTIFY_SOCKET": "/x", "FDSTORE": "0"}, False),
        ({"NOTIFY_SOCKET": "/x"}, None),
    ],
)
def test_whether_descriptors_are_kept(environment: dict[str, str], *, keeps: bool | None) -> None:
    """From version 254 on systemd says so; whoever else listens there is asked nothing."""
    assert keeps_descriptors(environment) is keeps


def test_a_descriptor_is_left_and_taken_back(manager: tuple[str, socket.socket]) -> None:
    """With its name, and the file itself."""
    name, channel = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    file = os.memfd_create("x")
    os.write(file, b"content")
    notifier.leave("imds-sessions-1", file)
    os.close(file)
    message, (received,), _, _ = socket.recv_fds(channel, 4096, 1)
    assert message.decode() == "FDSTORE=1\nFDNAME=imds-sessions-1"
    assert os.pread(received, 100, 0) == b"content"
    os.close(received)
    notifier.take_back("imds-sessions-1")
    assert channel.recv(4096).decode() == "FDSTOREREMOVE=1\nFDNAME=imds-sessions-1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere"}])
def test_a_descriptor_that_nobody_takes_is_told(environment: dict[str, str]) -> None:
    """Otherwise it would be thought to be kept."""
    with pytest.raises(OSError):  # noqa: PT011 - the system's own words
        Notifier(environment).leave("x", 0)
