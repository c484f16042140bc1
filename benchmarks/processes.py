"""Processes to measure: started on one processor, looked at through /proc, ended again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from time import monotonic, perf_counter, sleep

PROCESSOR = min(os.sched_getaffinity(0))
"""Everything runs on one processor: on two, most of what is measured is one waking the other."""

PATIENCE = 60.0
HIDE_UVLOOP = "import sys; sys.modules['uvloop'] = None; from imds.cli import main; main(prog_name='imds')"
SHOW_UVLOOP = "from imds.cli import main; main(prog_name='imds')"


class Process:
    """A program on the one processor; use it as a context manager."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None, piped: bool = False) -> None:
        self._arguments = [sys.executable, *arguments]
        self._environment = environment
        self._output = subprocess.PIPE if piped else subprocess.DEVNULL

    def __enter__(self):
        self.spawned = perf_counter()
        self._process = subprocess.Popen(
            self._arguments,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.DEVNULL,
        )
        self.pid = self._process.pid
        return self

    def __exit__(self, *_) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def wait(self) -> None:
        """Wait for its end."""
        self._process.wait(PATIENCE)

    def line(self) -> str:
        """Return the next line that it prints."""
        return self._process.stdout.readline().decode()

    def check_running(self) -> None:
        """Complain if it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._arguments[1:4]} ended with {self._process.returncode}")

    @property
    def rss(self) -> float:
        """Resident memory in megabytes."""
        return int(self._status("VmRSS").split()[0]) / 1024

    @property
    def cpu(self) -> float:
        """Seconds of processor time that its main thread has used."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e9

    @property
    def switches(self) -> int:
        """How often any of its threads was put on or off a processor."""
        total = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            lines = (task / "status").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
        return total

    def _status(self, name: str) -> str:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            key, _, value = line.partition(":")
            if key == name:
                return value.strip()
        raise KeyError(name)


class Server(Process):
    """One that listens on a port.

    Attributes:
        port: where.
        role: the role that ``cycle`` asks for.
    """

    def __init__(
        self, *arguments: str, port: int, environment: dict[str, str] | None = None, piped: bool = False
    ) -> None:
        super().__init__(*arguments, environment=environment, piped=piped)
        self.port = port

    def first(self, request: bytes, *, token: bytes | None = None, pause: float = 0.002) -> float:
        """Ask until the answer is 200; return the seconds from the start of the process.

        Args:
            request: what to send.
            token: with one, a token request whose answer replaces it in ``request``.
            pause: between two attempts, in seconds.
        """
        while perf_counter() < self.spawned + PATIENCE:
            with contextlib.suppress(OSError):
                asked = request
                if token is not None:
                    asked = request.replace(b"%TOKEN%", exchange(self.port, token).partition(b"\r\n\r\n")[2])
                if exchange(self.port, asked).startswith(b"HTTP/1.1 200"):
                    return perf_counter() - self.spawned
            self.check_running()
            sleep(pause)
        raise TimeoutError(f"no answer within {PATIENCE} s")


class Generator:
    """The load generator's process."""

    def __enter__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_) -> None:
        self._process.stdin.close()
        self._process.wait(30)

    def run(self, server: Server, requests: list[str], mode: str, clients: int, **limits: float) -> dict[str, float]:
        """Put load on ``server``; return what came of it, with its processor time as ``cpu`` (ms an operation)."""
        job = {"port": server.port, "requests": requests, "mode": mode, "clients": clients} | limits
        before = server.cpu
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        result = json.loads(self._process.stdout.readline())
        used = server.cpu - before
        return result | {"cpu": used * 1000 / max(1, result["done"]), "rate": result["done"] / result["seconds"]}


def exchange(port: int, request: bytes) -> bytes:
    """Send ``request`` over a new connection; return all that comes until the server closes it or falls silent."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(request)
        received = b""
        deadline = monotonic() + 5
        while monotonic() < deadline and (chunk := connection.recv(65536)):
            received += chunk
            if b"\r\nConnection: close" not in received and b"\r\n\r\n" in received:
                break  # a kept-alive answer, small enough to come at once
    return received


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wall(*arguments: str) -> float:
    """Return how many seconds a Python program takes from start to end."""
    with Process(*arguments) as process:
        process.wait()
        return perf_counter() - process.spawned
