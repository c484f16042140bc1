"""A stand-in for systemd: holds a listening socket and what the daemon leaves with it, and starts one after another."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

from support.daemon import clean_environment
from support.fakes import KNOWN_SECRETS

PATIENCE = 30.0

HAND_OVER = """\
import os, sys
count = int(sys.argv[1])
given, command = [int(fd) for fd in sys.argv[2 : 2 + count]], sys.argv[2 + count :]
high = [os.dup2(fd, 1000 + number) for number, fd in enumerate(given)]
for number, fd in enumerate(high):
    os.dup2(fd, 3 + number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count))
os.closerange(3 + count, 1200)
os.execvp(command[0], command)
"""
"""Puts descriptors where systemd puts them, with the process's own id in the environment."""


class ServiceManager:
    """Keeps one service, as a unit with ``Type=notify`` and ``FileDescriptorStoreMax=`` has it.

    Attributes:
        stored: descriptors left with us, by name.
        process: the running daemon.
    """

    def __init__(self, home: Path, *arguments: str, environment: dict[str, str], keeps: bool = True) -> None:
        self.home = home
        self.stored: dict[str, int] = {}
        self._keeps = keeps
        self._command = [sys.executable, "-m", "imds", *arguments]
        self._path = str(home / "manager")
        told = {"NOTIFY_SOCKET": self._path} | ({"FDSTORE": "4"} if keeps else {})
        self.environment = clean_environment(home) | environment | told
        self.ready = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ServiceManager:
        for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
            Path(self.environment[name]).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address = self._listener.getsockname()
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(self._path)
        self._log = (self.home / "log").open("w+b")
        self._ended = False
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)
        self._ended = True
        self._thread.join()
        for fd in self.stored.values():
            os.close(fd)
        for opened in (self._notify, self._listener, self._log):
            opened.close()
        log = self.log
        assert "Traceback" not in log, log
        for secret in KNOWN_SECRETS:
            assert secret not in log, "a secret is in the daemon's output"

    @property
    def log(self) -> str:
        """Everything that every daemon said."""
        return (self.home / "log").read_text()

    def start(self) -> None:
        """Start the next daemon with what the last one left."""
        self.ready.clear()
        given = {"imds.socket": self._listener.fileno(), **self.stored}
        names = {"LISTEN_FDNAMES": ":".join(given)}
        fds = [str(fd) for fd in given.values()]
        self.process = subprocess.Popen(
            [sys.executable, "-ISc", HAND_OVER, str(len(given)), *fds, *self._command],
            env=self.environment | names,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            pass_fds=tuple(given.values()),
        )

    def wait_ready(self) -> None:
        """Wait for READY=1."""
        deadline = monotonic() + PATIENCE
        while not self.ready.wait(0.05):
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log}"
            assert monotonic() < deadline, self.log

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the daemon; what it said last is heard before the next one starts."""
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        self.settle()
        return status

    def settle(self) -> None:
        """Wait until everything said so far is heard."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            heard = threading.Event()
            self._heard = heard
            channel.connect(self._path)
            channel.send(b"HEARD=1")
            assert heard.wait(PATIENCE)

    def wait_for_log(self, text: str) -> None:
        """Wait until a daemon says ``text``."""
        deadline = monotonic() + PATIENCE
        while text not in self.log:
            assert monotonic() < deadline, self.log
            sleep(0.05)

    def _listen(self) -> None:
        self._notify.settimeout(0.05)
        while not self._ended:
            with suppress(TimeoutError):
                message, fds, _, _ = socket.recv_fds(self._notify, 4096, 4)
                self._take(dict(line.split("=", 1) for line in message.decode().split("\n")), fds)

    def _take(self, said: dict[str, str], fds: list[int]) -> None:
        name = said.get("FDNAME", "")
        if said.get("FDSTORE") == "1" and self._keeps and len(self.stored) < 4:
            (self.stored[name],) = fds
        else:
            for fd in fds:
                os.close(fd)
        if said.get("FDSTOREREMOVE") == "1" and name in self.stored:
            os.close(self.stored.pop(name))
        if said.get("READY") == "1":
            self.ready.set()
        if said.get("HEARD") == "1":
            self._heard.set()
