"""Network namespaces: the hard-wired 169.254.169.254 without touching this machine's network."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

_CLONE_NEWNET = 0x40000000
ADDRESSES = ("169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32")
ADDRESSES_6 = ("fd00:ec2::254/128", "fd00:ec2::23/128")

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None,
    reason="needs root and iproute2, for network namespaces",
)


class Namespace:
    """A network namespace whose loopback has the addresses of EC2, ECS and EKS, and no way out."""

    def __init__(self, name: str) -> None:
        self.name = f"imds{os.getpid()}{name}"

    def __enter__(self) -> Namespace:
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        for address in ADDRESSES:
            run("ip", "-n", self.name, "address", "add", address, "dev", "lo", "scope", "link")
        for address in ADDRESSES_6:
            run("ip", "-n", self.name, "-6", "address", "add", address, "dev", "lo", "nodad")
        return self

    def __exit__(self, *_: object) -> None:
        run("ip", "netns", "del", self.name)

    @property
    def prefix(self) -> tuple[str, ...]:
        """A command line that runs what follows inside."""
        return ("ip", "netns", "exec", self.name)

    def call(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Return what ``function`` returns in a thread whose sockets are made inside."""
        with ThreadPoolExecutor(max_workers=1) as thread:
            thread.submit(self._enter).result()
            return thread.submit(function, *arguments).result()

    def _enter(self) -> None:
        with Path("/run/netns", self.name).open() as namespace:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter {self.name}")


def run(*command: str) -> str:
    """Run a command to its end."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
