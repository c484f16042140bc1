"""A machine with a network and a ``/run`` of its own, a container on a bridge of it, and a neighbour on its Wi-Fi."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from support.daemon import clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")
PROGRAMS = ("ip", "nft", "unshare", "nsenter", "setpriv")
_CLONE_NEWNET = 0x40000000

needs_laptop = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, PROGRAMS)),
    reason=f"needs root and {', '.join(PROGRAMS)}, for network namespaces",
)


class Machine:
    """A process in mount and network namespaces of its own, where ``/run`` is empty.

    Args:
        namespace: the name of one that there is, to be in it.
    """

    def __init__(self, namespace: str | None = None) -> None:
        network = ("--net",) if namespace is None else ()
        self._where = () if namespace is None else ("nsenter", f"--net=/run/netns/{namespace}")
        self._where += ("unshare", "--mount", *network, "--propagation", "private")

    def __enter__(self) -> Machine:
        alone = "mount -t tmpfs none /run && sysctl -qw net.ipv6.conf.default.accept_dad=0 && ip link set lo up"
        made = f"{alone} && echo made && exec sleep 600"
        self._holder = subprocess.Popen(
            [*self._where, "sh", "-c", made],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout.readline() == "made\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.kill()
        self._holder.wait()
        self._holder.stdout.close()

    @property
    def prefix(self) -> tuple[str, ...]:
        """A command line that runs what follows inside."""
        return ("nsenter", "--target", str(self._holder.pid), "--mount", "--net")

    def run(self, *words: str, **more: object) -> str:
        """Run a command inside, and return what it prints."""
        command = [*self.prefix, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30, **more).stdout

    def call(self, function: Callable[..., Result], *arguments: object, uid: int | None = None) -> Result:
        """Return what ``function`` returns in a thread whose sockets are made inside, by a user."""
        with ThreadPoolExecutor(max_workers=1) as thread:
            thread.submit(self._enter, uid).result()
            return thread.submit(function, *arguments).result()

    def _enter(self, uid: int | None) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(f"/proc/{self._holder.pid}/ns/net").open() as namespace:
            if libc.setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "cannot enter")
        if uid is not None and libc.syscall(_SETRESUID, -1, uid, -1):  # of this thread alone
            raise OSError(ctypes.get_errno(), "cannot become another user")

    def network(self) -> dict[str, str]:
        """Return all that there is of it."""
        looks = ("ip -j address", "ip route", "ip -6 route", "ip netns list", "nft list ruleset")
        return {look: self.run(*look.split()) for look in looks} | {"run": self.run("ls", "-A", "/run/")}

    def imds(
        self, *arguments: str, status: int = 0, before: tuple[str, ...] = (), **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run ``imds`` inside, which ends with ``status``."""
        done = subprocess.run(
            [*self.prefix, *before, sys.executable, "-m", "imds", *arguments],
            env=clean_environment(Path("/nonexistent")) | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def address(self, *arguments: str, **more: object) -> str:
        """Run ``imds address`` inside, and return what it prints."""
        return self.imds("address", *arguments, **more).stdout

    def report(self) -> dict[str, object]:
        """Return ``imds address status --json``."""
        return json.loads(self.address("status", "--json"))


_SETRESUID = {"x86_64": 117, "aarch64": 147}.get(os.uname().machine, 117)


class Laptop(Machine):
    """One with a container behind ``docker0`` and a neighbour behind ``wlan0``, which route to EC2's addresses here.

    Attributes:
        container: its machine.
        lan: the neighbour's.
    """

    CONTAINER, LAN = "172.17.0.2", "192.168.50.20"
    LINKS = (
        ("container", "docker0", ("172.17.0.1/24", "fd18::1/64"), (f"{CONTAINER}/24", "fd18::2/64")),
        ("lan", "wlan0", ("192.168.50.10/24", "fd50::1/64"), (f"{LAN}/24", "fd50::2/64")),
    )

    def __enter__(self) -> Laptop:
        super().__enter__()
        self.container, self.lan = Machine(), Machine()
        for name, device, near, far in self.LINKS:
            other = getattr(self, name)
            other.__enter__()
            peer = ("peer", "name", "eth0", "netns", str(other._holder.pid))
            self.run("ip", "link", "add", device, "type", "veth", *peer)
            for machine, end, addresses in ((self, device, near), (other, "eth0", far)):
                machine.run("ip", "link", "set", end, "up")
                for address in addresses:
                    machine.run("ip", "address", "add", address, "dev", end, *(("nodad",) if ":" in address else ()))
            for address in near:
                other.run("ip", "route", "add", "default", "via", address.partition("/")[0])
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        return self

    def __exit__(self, *_: object) -> None:
        for machine in (self.container, self.lan):
            machine.__exit__()
        super().__exit__()
