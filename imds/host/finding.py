"""Finding out who has the client end of a connection; each platform has its way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.core.callers import Process

LONGEST_LOOK = 0.7
"""Seconds for which a client waits for what is found out of it; SDKs give up after one."""

EndPoint = tuple[str, int]
"""An IP address and a port."""

Ends = tuple[EndPoint, EndPoint]
"""A connection: the client's end, and the one that it asked."""


class Connection(NamedTuple):
    """A connection of which nothing is known at once.

    Attributes:
        uid: its owner's, which is not known.
    """

    client: EndPoint
    server: EndPoint
    uid: None = None


class Owner(NamedTuple):
    """What the kernel knows of a socket.

    Attributes:
        uid: of the socket's creator.
        inode: of the socket, which ``/proc/PID/fd`` shows.
        cgroup_id: of its control group (cgroup v2); None before Linux 5.9.
    """

    uid: int
    inode: int
    cgroup_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What has been found out of a process; None is not known."""

    uid: int
    process: Process | None
    cgroup: str | None


class Finder(Protocol):
    """Finds who has a socket; all but ``owner`` are slow and for threads. What they leave out is not known."""

    def owner(self, client: EndPoint, server: EndPoint) -> Owner | Connection | None:
        """Return what the rest is found by; None where the client is not on this host, or gone."""
        ...

    def find(self, uid: int | None, sockets: frozenset[Any]) -> Mapping[Any, Found]:
        """Return who opened sockets of one user, or of anybody for None."""
        ...

    def glance(self, uid: int | None, sockets: frozenset[Any]) -> Mapping[Any, Found]:
        """Return who has them, which may be another than who opened them, and takes less."""
        ...

    def of_processes(self, key: None, pids: frozenset[int]) -> Mapping[int, Found]:
        """Return what is known of processes."""
        ...

    def close(self) -> None:
        """Give up what it holds."""
        ...
