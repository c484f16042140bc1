"""Who listens on an address of this host, as far as ``/proc`` tells this user. Linux only: elsewhere nobody is."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_TCP_LISTEN = "0A"
_TABLES = (("/proc/net/tcp", socket.AF_INET), ("/proc/net/tcp6", socket.AF_INET6))


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupant:
    """Somebody who listens.

    Attributes:
        bound: the address, which may be that of all.
        uid: the socket's creator.
        pid: a process that holds it; None where this user may not know.
        command: that process's name.
        arguments: its command line, empty where not known.
    """

    bound: str
    uid: int
    pid: int | None = None
    command: str | None = None
    arguments: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.command} (pid {self.pid})" if self.pid is not None else f"a process of uid {self.uid}"

    @property
    def is_imds(self) -> bool:
        """Whether it looks like a daemon of ours, of whichever user."""
        names = [Path(one).name for one in self.arguments[:2]]
        return "imds" in (self.command, *names) or self.arguments[1:3] == ("-m", "imds")


def occupants(host: str, port: int) -> list[Occupant]:
    """Return who listens on an IP address and a port, or on all addresses; one entry for each process that is known."""
    sockets = {link: (bound, uid) for link, bound, uid in _sockets(host, port)}
    if not sockets:
        return []
    found = [_describe(pid, *sockets[link]) for pid, link in _holders(sockets)]
    return found or [Occupant(bound=bound, uid=uid) for bound, uid in sorted(set(sockets.values()))]


def _sockets(host: str, port: int) -> Iterator[tuple[str, str, int]]:
    """Yield the listening sockets, as ``/proc/PID/fd`` shows them, where they are bound, and their creators."""
    wanted = ip_address(host)
    for table, family in _TABLES:
        with suppress(OSError):  # a kernel without IPv6
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                local, _, number = fields[1].rpartition(":")
                if fields[3] == _TCP_LISTEN and int(number, 16) == port:
                    bound = ip_address(_address(local, family))
                    bound = getattr(bound, "ipv4_mapped", None) or bound
                    # :: may take IPv4 clients too; whether it does is not told
                    if bound == wanted or (bound.is_unspecified and bound.version >= wanted.version):
                        yield f"socket:[{fields[9]}]", str(bound), int(fields[7])


def _address(digits: str, family: socket.AddressFamily) -> str:
    """Return an address, of which the kernel prints words of 32 bits in this machine's order."""
    words = [bytes.fromhex(digits[start : start + 8]) for start in range(0, len(digits), 8)]
    return socket.inet_ntop(family, b"".join(word[::-1] if sys.byteorder == "little" else word for word in words))


def _holders(links: dict[str, tuple[str, int]]) -> Iterator[tuple[int, str]]:
    for directory in sorted(Path("/proc").glob("[0-9]*/fd"), key=lambda path: int(path.parent.name)):
        with suppress(OSError):
            for link in directory.iterdir():
                with suppress(OSError):
                    if (name := str(link.readlink())) in links:
                        yield int(directory.parent.name), name
                        break


def _describe(pid: int, bound: str, uid: int) -> Occupant:
    folder, command, arguments = Path("/proc", str(pid)), None, b""
    with suppress(OSError):
        command = (folder / "comm").read_text().strip()
        arguments = (folder / "cmdline").read_bytes()[:4096]
    words = tuple(part.decode(errors="replace") for part in arguments.split(b"\0")[:-1])
    return Occupant(bound=bound, uid=uid, pid=pid, command=command or "a program", arguments=words)
