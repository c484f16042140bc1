"""Third-party AWS emulators: moto for breadth and for recording what was sent, ministack for strictness."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.namespaces import Namespace, Result


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Emulator:
    """An emulator that runs as a process."""

    command: list[str]
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    namespace: Namespace | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
        self.process = subprocess.Popen(
            [*(self.namespace.prefix if self.namespace else ()), *self.command],
            env=inherited | {"TZ": "UTC"} | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = monotonic() + 60
        while True:
            try:
                self.inside(self._connect)
            except OSError:
                assert self.process.poll() is None, f"{self.command[0]} ended with {self.process.returncode}"
                assert monotonic() < deadline, f"{self.command[0]} does not listen"
                sleep(0.05)  # another program's start; there is nothing to wait on
            else:
                return

    def inside(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Return what ``function`` returns where the emulator can be reached."""
        return self.namespace.call(function, *arguments) if self.namespace else function(*arguments)

    def _connect(self) -> None:
        socket.create_connection((self.host, self.port), timeout=1).close()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Emulator:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def post(self, path: str, body: bytes = b"") -> bytes:
        request = urllib.request.Request(self.url + path, data=body, method="POST")
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.read()


class Moto(Emulator):
    """moto: takes nearly everything, and records it."""

    def stop(self) -> None:
        super().stop()
        Path(self.environment["MOTO_RECORDER_FILEPATH"]).unlink(missing_ok=True)

    def record(self) -> None:
        self.post("/moto-api/recorder/reset-recording")
        self.post("/moto-api/recorder/start-recording")

    def recorded(self) -> list[dict[str, str]]:
        """Return the form parameters of every call since ``record``."""
        self.post("/moto-api/recorder/stop-recording")
        with urllib.request.urlopen(self.url + "/moto-api/recorder/download-recording", timeout=10) as response:
            lines = response.read().decode().splitlines()
        calls = []
        for line in lines:
            entry = json.loads(line)
            body = entry.get("body") or ""
            if entry.get("body_encoded"):
                body = base64.b64decode(body).decode()
            calls.append(dict(parse_qsl(body)))
        return calls


def moto(port: int | None = None) -> Moto:
    """Return a moto that is not started yet."""
    port = port or free_port()
    code = "from moto.server import main; main()"
    recording = Path(tempfile.gettempdir()) / f"moto-recording-{os.getpid()}-{port}"
    command = [sys.executable, "-c", code, "-H", "127.0.0.1", "-p", str(port)]
    return Moto(command, port, {"MOTO_RECORDER_FILEPATH": str(recording)})


def ministack(port: int | None = None, namespace: Namespace | None = None, **environment: str) -> Emulator:
    """Return a ministack that is not started yet: signatures, trust policies and expiry are enforced."""
    port = port or free_port()
    settings = {
        "AUTH": "true",
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",
    }
    program = Path(sys.executable).with_name("ministack")
    return Emulator([str(program)], port, settings | environment, namespace=namespace)
