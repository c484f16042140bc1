"""Real AWS clients as users have them: programs of their own, without keys, in an installation of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.accounts import BUCKET, REGION, Account
from support.daemon import DaemonProcess, clean_environment

if TYPE_CHECKING:
    from support.emulators import Emulator

PROGRAMS = Path(__file__).parents[1] / "e2e" / "clients"
NODE_AT_LEAST = 20


@dataclass(frozen=True)
class Client:
    """A program that makes one signed call and prints what it was told.

    Attributes:
        name: in the test's id.
        command: the program and its arguments.
        package: what must be installed for it.
        ways: how it can be led to the daemon.
        writes: whether it writes an object and lists the bucket; else it asks STS who it is.
    """

    name: str
    command: tuple[str, ...]
    package: str
    ways: tuple[str, ...]
    writes: bool = False

    def command_line(self) -> list[str]:
        """Return how to run it; skips the test where it is not installed."""
        program, *arguments = self.command
        if program.endswith(".mjs"):
            return [client_node(self.package), str(PROGRAMS / program), *arguments]
        python = client_python(self.package)
        if program.endswith(".py"):
            objects = [BUCKET, self.name] if self.writes else []
            return [str(python), str(PROGRAMS / program), *arguments, *objects]
        return [str(python.with_name(program)), *arguments]


@dataclass
class Site:
    """A daemon beside an emulator, in this network or in one of its own."""

    emulator: Emulator
    account: Account
    daemon: DaemonProcess
    prefix: tuple[str, ...] = ()
    access_key_ids: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.access_key_ids = {role["name"]: role["access_key_id"] for role in self.daemon.status()["roles"]}

    def run(self, command: list[str], home: Path, **environment: str) -> str:
        """Return what a program prints that runs here, with a home of its own and no keys."""
        given = clean_environment(home) | {
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL_STS": self.emulator.url,
            "AWS_ENDPOINT_URL_S3": self.emulator.url,
            "IMDS_CONTROL_SOCKET": str(self.daemon.control_socket),
        }
        done = subprocess.run(
            [*self.prefix, *command],
            env=given | environment,
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{self.daemon.log}"
        return done.stdout.strip()

    def exec(self, role: str, command: list[str]) -> list[str]:
        """Return a command line that runs ``command`` with one role."""
        return [sys.executable, "-m", "imds", "exec", role, "--", *command]


@cache
def client_python(package: str) -> Path:
    """Return the interpreter of the virtual environment of clients."""
    where = os.environ.get("IMDS_CLIENTS")
    if not where:
        pytest.skip("IMDS_CLIENTS names no virtual environment with real clients; `make test` makes one")
    python = Path(where).absolute() / "bin" / "python"
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({package!r}) is None)"
    if subprocess.run([str(python), "-c", code], check=False, timeout=60).returncode != 0:
        pytest.skip(f"{where} has no {package}")
    return python


@cache
def client_node(package: str) -> str:
    """Return node, where it is new enough for the SDK and has it."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node")
    version = subprocess.run([node, "--version"], check=True, capture_output=True, text=True, timeout=60).stdout
    if int(version.lstrip("v").partition(".")[0]) < NODE_AT_LEAST:
        pytest.skip(f"node is {version.strip()}, and the SDK needs {NODE_AT_LEAST}")
    if not (PROGRAMS / "node_modules" / package).is_dir():
        pytest.skip(f"{package} is not installed; `make test` does it where npm is there")
    return node
