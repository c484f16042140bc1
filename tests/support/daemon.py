"""The daemon as users run it: a process of its own, with a home of its own."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import urlsplit

from support.fakes import KNOWN_SECRETS

PATIENCE = 30.0
_numbers = itertools.count()


class DaemonProcess:
    """``imds`` with some arguments; use it as a context manager.

    Args:
        home: becomes ``HOME``, and where its runtime and state directories are.
        arguments: of the command ``imds``.
        environment: further variables; nothing AWS-like is inherited.
        prefix: a command in front, such as ``ip netns exec NAME``.
        ready: whether to wait for READY=1.
    """

    def __init__(
        self,
        home: Path,
        *arguments: str,
        environment: dict[str, str] | None = None,
        prefix: tuple[str, ...] = (),
        ready: bool = True,
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        self.home = home
        self.arguments = arguments
        self.environment = clean_environment(home) | (environment or {})
        self._prefix = prefix
        self._wait = ready
        self._pass_fds = pass_fds
        self.notifications: list[str] = []
        self.python = sys.executable

    def __enter__(self) -> DaemonProcess:
        for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
            Path(self.environment[name]).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = str(self.home / f"notify-{(number := next(_numbers))}")
        self._notify.bind(path)
        self._log = (self.home / f"log-{number}.txt").open("w+b")
        self.process = subprocess.Popen(
            [*self._prefix, self.python, "-m", "imds", *self.arguments],
            env=self.environment | {"NOTIFY_SOCKET": path},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            pass_fds=self._pass_fds,
        )
        if self._wait:
            try:
                self.wait_for("READY=1")
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._notify.close()
        log = self.log
        self._log.close()
        for secret in KNOWN_SECRETS:
            assert secret not in log, "a secret is in the daemon's output"
        assert "Traceback" not in log, log

    def wait_for(self, message: str) -> None:
        """Wait until the daemon notifies its service manager of ``message``."""
        deadline = monotonic() + PATIENCE
        while not any(message in text for text in self.notifications):
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended with {self.process.returncode}:\n{self.log}")
            if monotonic() > deadline:
                raise AssertionError(f"no {message} within {PATIENCE} s:\n{self.log}")
            self._notify.settimeout(0.1)
            with suppress(TimeoutError):
                self.notifications.append(self._notify.recv(4096).decode())

    def wait_for_log(self, text: str) -> None:
        """Wait until the daemon says ``text``."""
        deadline = monotonic() + PATIENCE
        while text not in self.log:
            assert monotonic() < deadline, f"no {text!r} within {PATIENCE} s:\n{self.log}"
            sleep(0.05)

    @property
    def log(self) -> str:
        """Everything it said so far."""
        return Path(self._log.name).read_text()

    @property
    def control_socket(self) -> Path:
        return Path(self.environment["XDG_RUNTIME_DIR"]) / "imds" / "control.sock"

    def imds(
        self, *arguments: str, check: bool = True, typed: str = "", **changes: str
    ) -> subprocess.CompletedProcess[str]:
        """Run another ``imds`` command beside it, with ``typed`` as its standard input."""
        return subprocess.run(
            [*self._prefix, self.python, "-m", "imds", *arguments],
            env=self.environment | changes,
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
            check=check,
        )

    def status(self) -> dict[str, object]:
        """Return ``imds status --json``."""
        return json.loads(self.imds("status", "--json").stdout)

    @property
    def url(self) -> str:
        """Where it listens first."""
        return self.status()["listen"][0]

    @property
    def address(self) -> tuple[str, int]:
        """Likewise, as sockets want it."""
        parts = urlsplit(self.url)
        return parts.hostname, parts.port

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


def clean_environment(home: Path) -> dict[str, str]:
    """Return an environment without a trace of the developer's AWS set-up or daemon."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV") if name in os.environ}
    return kept | {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home / "run"),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "AWS_CONFIG_FILE": str(home / ".aws" / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / ".aws" / "credentials"),
    }


def write_config(path: Path, text: str) -> Path:
    """Write a configuration, dedented."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def write_profile(home: Path, name: str = "work", **values: str) -> None:
    """Add a profile to ``~/.aws/config``; made-up long-term keys unless told otherwise."""
    file = home / ".aws" / "config"
    file.parent.mkdir(parents=True, exist_ok=True)
    values = values or {
        "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key": "neverlogthissecretaccesskey",
    }
    lines = [f"[profile {name}]", *(f"{key} = {value}" for key, value in values.items()), ""]
    with file.open("a") as out:
        out.write("\n".join(lines) + "\n")
