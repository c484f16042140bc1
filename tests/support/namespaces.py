"""Network namespaces: the hard-wired 169.254.169.254 without touching this machine's network."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

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


def run(*command: str) -> str:
    """Run a command to its end."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
