"""Programs that read instance metadata, run on what looks like an EC2 instance to them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import wire
from support.crawler import crawl
from support.daemon import DaemonProcess, clean_environment
from support.namespaces import Namespace, run

if TYPE_CHECKING:
    from collections.abc import Iterable

READERS = Path(__file__).parents[1] / "e2e" / "readers"
AS_INSTANCE = Path(__file__).with_name("as_instance.sh")
SYSTEM_PYTHON = Path("/usr/bin/python3")
ADDRESS = ("169.254.169.254", 80)


@dataclass(frozen=True)
class Instance:
    """A network with a daemon at EC2's address, and the daemon's whole tree as ``leaves``."""

    namespace: Namespace
    daemon: DaemonProcess
    leaves: dict[str, str] = field(repr=False)

    @classmethod
    def made(cls, namespace: Namespace, daemon: DaemonProcess) -> Instance:
        """Return the instance with what an IMDSv2 client reads of it."""
        token = namespace.call(wire.get_token, ADDRESS)
        return cls(namespace, daemon, namespace.call(lambda: crawl(ADDRESS, token=token)))

    def leaf(self, path: str) -> str:
        """Return a text below ``meta-data/``."""
        return self.leaves[f"meta-data/{path}"]

    def run(self, command: Iterable[str], home: Path, **environment: str) -> str:
        """Return what a program prints that runs there without any setting."""
        done = self.attempt(command, home, **environment)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{self.daemon.log}"
        return done.stdout

    def attempt(self, command: Iterable[str], home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Likewise, whether or not it succeeds."""
        return subprocess.run(
            [*self.namespace.prefix, "sh", str(AS_INSTANCE), *command],
            env=clean_environment(home) | environment,
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def add_interfaces(namespace: Namespace, *macs: str) -> None:
    """Give a network two interfaces, ``ens5`` and ``ens6``, with these addresses."""
    name, (first, second) = namespace.name, macs
    peer = ("type", "veth", "peer", "name", "ens6", "address", second)
    run("ip", "-n", name, "link", "add", "ens5", "address", first, *peer)
    for interface in ("ens5", "ens6"):
        run("ip", "-n", name, "link", "set", interface, "up")


def program(name: str) -> str:
    """Return the path of a program; skips the test where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name}")
    return found


@cache
def system_python(package: str) -> str:
    """Return the system's interpreter, for which distributions package; skips the test where it has no ``package``."""
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({package!r}) is None)"
    missing = not SYSTEM_PYTHON.exists()
    if missing or subprocess.run([SYSTEM_PYTHON, "-c", code], check=False, timeout=60).returncode != 0:
        pytest.skip(f"{SYSTEM_PYTHON} has no {package}")
    return str(SYSTEM_PYTHON)
