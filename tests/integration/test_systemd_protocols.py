"""What the daemon and a service manager say to each other, with this test as the manager."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import threading
from time import monotonic, sleep

import pytest
from support import wire
from support.daemon import DaemonProcess, clean_environment, write_config
from support.emulators import free_port

CONFIG = """\
    region: eu-west-1
    listen: ["http://127.0.0.1:0"]
    roles:
      app: {role_arn: "arn:aws:iam::111122223333:role/app", source: {profile: work}}
"""


@pytest.fixture
def configured(home, moto_server):
    """The arguments and the environment of a daemon with one role."""
    config = write_config(home / "imds.yaml", CONFIG)
    return ("serve", "--config", str(config)), {"AWS_ENDPOINT_URL_STS": moto_server.url}


def test_messages(home, configured):
    """READY comes once the roles were tried and says how they are; a reload is announced; the end, too."""
    arguments, environment = configured
    with DaemonProcess(home, *arguments, environment=environment | {"WATCHDOG_USEC": "400000"}) as daemon:
        assert any("READY=1\nSTATUS=serving 1 of 1 roles" in text for text in daemon.notifications)
        daemon.wait_for("WATCHDOG=1")
        daemon.notifications.clear()
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("RELOADING=1")
        daemon.wait_for("READY=1")
        daemon.signal(signal.SIGTERM)
        daemon.wait_for("STOPPING=1")


def test_ready_although_a_role_hangs(home, configured):
    """A role whose first attempt does not end keeps READY back for ten seconds, not longer."""
    arguments, _ = configured
    with socket.socket() as silent:  # accepts and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with DaemonProcess(home, *arguments, environment={"AWS_ENDPOINT_URL_STS": url}) as daemon:
            assert any("serving 0 of 1 roles" in text for text in daemon.notifications)


@pytest.mark.parametrize("address", ["/nowhere/notify", "@imds-nobody-listens", "relative"])
def test_a_manager_that_does_not_listen(home, configured, address):
    """A NOTIFY_SOCKET that leads nowhere harms nothing."""
    arguments, environment = configured
    port = free_port()
    command = [sys.executable, "-m", "imds", *arguments, "--listen", f"http://127.0.0.1:{port}"]
    variables = clean_environment(home) | environment | {"NOTIFY_SOCKET": address}
    with subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True) as process:
        deadline = monotonic() + 30
        while monotonic() < deadline:
            try:
                assert wire.get_token(("127.0.0.1", port))
            except ConnectionRefusedError:
                sleep(0.05)
            else:
                break
        sleep(0.5)  # READY is sent meanwhile
        process.terminate()
        said = process.stderr.read()
    assert process.returncode == 0, said
    assert "Traceback" not in said


HAND_OVER = """\
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execvp(sys.argv[2], sys.argv[2:])
"""


def handed_over(descriptor: int) -> tuple[str, ...]:
    """Return the beginning of a command line that hands a descriptor over as systemd does."""
    return (sys.executable, "-c", HAND_OVER, str(descriptor))


def test_no_request_fails_while_the_service_restarts(home, configured):
    """With the socket held outside, every connection made during two restarts is answered."""
    arguments, environment = configured
    results: list[object] = []
    stop = threading.Event()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        address = listener.getsockname()
        keywords = {
            "environment": environment,
            "prefix": handed_over(listener.fileno()),
            "pass_fds": (listener.fileno(),),
        }

        def client() -> None:
            while not stop.is_set():
                try:
                    results.append(wire.get(address, "/latest/").status)
                except (OSError, AssertionError, IndexError) as error:
                    results.append(repr(error))
                sleep(0.005)

        threads = [threading.Thread(target=client) for _ in range(4)]
        for round_ in range(3):
            with DaemonProcess(home, *arguments, **keywords) as daemon:
                if round_ == 0:
                    for thread in threads:
                        thread.start()
                sleep(0.3)  # some traffic
                daemon.signal(signal.SIGTERM)
                assert daemon.process.wait(15) == 0
            if round_ == 2:
                stop.set()
                with DaemonProcess(home, *arguments, **keywords):  # answers who is still connected
                    for thread in threads:
                        thread.join()
    assert len(results) > 50
    assert set(results) <= {200}, [result for result in results if result != 200][:5]


def test_what_is_handed_over_must_be_a_socket(home, configured, tmp_path):
    """A descriptor that is no listening TCP socket is told, with a status for it, and without a traceback."""
    arguments, environment = configured
    with (tmp_path / "file").open("w") as file:
        command = [*handed_over(file.fileno()), sys.executable, "-m", "imds", *arguments]
        done = subprocess.run(
            command,
            env=clean_environment(home) | environment,
            pass_fds=(file.fileno(),),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 75
    assert "handed over" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="needs systemd's tools")
def test_started_by_the_first_client(home, configured):
    """The first connection starts the daemon and is answered by it."""
    arguments, environment = configured
    port = free_port()
    passed = [f"--setenv={name}={value}" for name, value in (clean_environment(home) | environment).items()]
    command = ["systemd-socket-activate", f"--listen=127.0.0.1:{port}", *passed]
    with subprocess.Popen([*command, sys.executable, "-m", "imds", *arguments], stderr=subprocess.DEVNULL) as process:
        deadline = monotonic() + 10
        while True:
            try:
                token = wire.get_token(("127.0.0.1", port))
                break
            except ConnectionRefusedError:
                assert monotonic() < deadline
                sleep(0.05)
        assert len(token) == 56
        process.terminate()
