"""A desktop's session bus with a keyring on it, without a screen."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

PASSWORD = b"a-password-of-the-desktop"
PROGRAMS = ("dbus-daemon", "gnome-keyring-daemon")

needs_keyring = pytest.mark.skipif(
    not all(map(shutil.which, PROGRAMS)), reason=f"needs {' and '.join(PROGRAMS)}, for a keyring"
)


class Desktop:
    """What a login starts, with a home; leaving it is logging out.

    Attributes:
        environment: what a program needs to be part of it.
    """

    def __init__(self, home: Path, *, unlocked: bool = True) -> None:
        self._home = home
        self._unlocked = unlocked
        self._stack = ExitStack()
        self.environment: dict[str, str] = {}

    def __enter__(self) -> Desktop:
        run = self._home / "run"
        run.mkdir(mode=0o700, exist_ok=True)
        base = {"HOME": str(self._home), "XDG_RUNTIME_DIR": str(run), "PATH": "/usr/bin:/bin"}
        command = ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address=1"]
        bus = self._start(command, base)
        address = bus.stdout.readline().decode().strip()
        self.environment = {"DBUS_SESSION_BUS_ADDRESS": address}
        command = ["gnome-keyring-daemon", "--foreground", "--components=secrets"]
        keyring = self._start([*command, *(["--unlock"] if self._unlocked else [])], base | self.environment)
        if self._unlocked:
            keyring.stdin.write(PASSWORD)  # without a newline, which would be part of it
        keyring.stdin.close()
        keyring.stdout.readline()  # it says where its control socket is once it is there
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._stack.callback(self._end, process)
        return process

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            pipe.close()
