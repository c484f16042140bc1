"""A daemon on a machine that can be suspended and whose clock can be set."""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, TypeVar

import pytest

from support import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.daemon import DaemonProcess

Result = TypeVar("Result")
PATH = "/latest/meta-data/iam/security-credentials/"


class Clocks:
    """What the daemon's clocks show; ``environment`` is for the daemon alone."""

    def __init__(self, directory: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("needs a C compiler (cc), for clocks that the test moves")
        library, file = directory / "clock_shim.so", directory / "clock_shim.bin"
        source = Path(__file__).with_name("clock_shim.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-Wall", "-o", library, source], check=True, timeout=60)
        file.write_bytes(bytes(16))
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), 16)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_SHIM": str(file)}
        self._suspended = self._stepped = timedelta()

    def suspend(self, span: timedelta) -> None:
        """Let the machine have been asleep for ``span``."""
        self._suspended += span
        self._write()

    def step(self, span: timedelta) -> None:
        """Set the wall clock by ``span``."""
        self._stepped += span
        self._write()

    @property
    def ahead(self) -> timedelta:
        """How far the wall clock is ahead of this process's."""
        return self._suspended + self._stepped

    def now(self) -> datetime:
        """Return the daemon's time."""
        return datetime.now(UTC) + self.ahead

    def _write(self) -> None:
        shift = [round(span / timedelta(microseconds=1)) * 1000 for span in (self._suspended, self._stepped)]
        self._map[:] = struct.pack("qq", *shift)


def eventually(look: Callable[[], Result], *, within: float = 20) -> Result:
    """Return the first true answer of ``look``; something else is at work, and there is nothing to wait on."""
    deadline = monotonic() + within
    while not (seen := look()):
        assert monotonic() < deadline, "it did not come to pass"
        sleep(0.05)
    return seen


class Client:
    """One that asks a daemon for a role, byte by byte."""

    def __init__(self, daemon: DaemonProcess, role: str = "app") -> None:
        self._daemon = daemon
        self._role = role
        self._address = daemon.address
        self._token = wire.get_token(self._address)

    def document(self) -> wire.Reply:
        """Return the answer to a request for the role's document."""
        return wire.get(self._address, PATH + self._role, token=self._token)

    def list(self) -> wire.Reply:
        """Return the answer to a request for the role's name."""
        return wire.get(self._address, PATH, token=self._token)

    def new_token(self) -> None:
        """Ask for a session token, the last having ended."""
        self._token = wire.get_token(self._address)

    def failure(self) -> dict[str, object] | None:
        """Return why the last refresh failed."""
        return next(role for role in self._daemon.status()["roles"] if role["name"] == self._role)["failure"]
