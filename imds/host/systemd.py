"""systemd's protocols with the standard library: sockets handed over (sd_listen_fds), readiness, watchdog."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imds.core.errors import AddressTakenError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping

_FIRST_FD = 3
_PATIENCE = 0.25

STORED = "imds-sessions-"
"""How the names of descriptors begin that an earlier daemon left with the service manager; a number follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    """What systemd hands to a service.

    Attributes:
        sockets: those that listen.
        stored: descriptors of files that an earlier daemon left, by name.
    """

    sockets: tuple[socket.socket, ...] = ()
    stored: Mapping[str, int] = field(default_factory=dict)


def handed_over(environment: MutableMapping[str, str]) -> HandedOver:
    """Return what systemd handed over, once; children will not see it.

    Raises:
        AddressTakenError: something is neither a listening TCP socket nor a file of ours.
    """
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdecimal():
        return HandedOver()
    sockets, stored = [], {}
    for number in range(int(count)):
        fd, name = _FIRST_FD + number, names[number] if number < len(names) else ""
        if name.startswith(STORED) and name not in stored:
            with contextlib.suppress(OSError):  # it is not there: as good as never left
                os.set_inheritable(fd, False)
                stored[name] = fd
        else:
            sockets.append(_listening(fd))
    return HandedOver(sockets=tuple(sockets), stored=stored)


def _listening(fd: int) -> socket.socket:
    try:
        os.set_inheritable(fd, False)
        given = socket.socket(fileno=fd)
        listening = given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise AddressTakenError(f"descriptor {fd}, handed over by the service manager, is no socket") from error
    if not listening or given.family not in (socket.AF_INET, socket.AF_INET6):
        raise AddressTakenError(f"socket {fd}, handed over by the service manager, does not listen on TCP")
    given.setblocking(False)
    return given


def keeps_descriptors(environment: Mapping[str, str]) -> bool | None:
    """Return whether the service manager keeps descriptors for us; None where it does not say.

    systemd says so since version 254 (``$FDSTORE``); for an older one the unit has to.
    """
    if not environment.get("NOTIFY_SOCKET"):
        return False
    most = environment.get("FDSTORE", "")
    return int(most) > 0 if most.isdecimal() else None


class Notifier:
    """Tells the service manager how we are; says nothing where there is none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog = environment.get("WATCHDOG_USEC", "")
        self._watchdog_pid = environment.get("WATCHDOG_PID", "")

    def ready(self, status: str) -> None:
        """Say that clients are answered."""
        self._send("READY=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """Say what ``systemctl status`` shows."""
        self._send(f"STATUS={status}")

    def reloading(self) -> None:
        """Say that the configuration is being read; ``ready`` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Say that the end is near."""
        self._send("STOPPING=1")

    def leave(self, name: str, fd: int) -> None:
        """Leave a descriptor with the manager, which hands it to our successor.

        Raises:
            OSError: it cannot be told.
        """
        if not self._address:
            raise OSError(errno.ENOTCONN, "there is no service manager")
        with self._channel() as channel:
            socket.send_fds(channel, [f"FDSTORE=1\nFDNAME={name}".encode()], [fd])

    def take_back(self, name: str) -> None:
        """Let the manager close what was left under a name."""
        self._send("FDSTOREREMOVE=1", f"FDNAME={name}")

    def alive(self) -> None:
        """Keep the watchdog quiet."""
        self._send("WATCHDOG=1")

    @property
    def watchdog_interval(self) -> float | None:
        """Seconds between two ``alive``, half of what the manager allows; None where it does not ask."""
        if not self._watchdog.isdecimal() or self._watchdog_pid not in ("", str(os.getpid())):
            return None
        return int(self._watchdog) / 2_000_000 or None

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), self._channel() as channel:  # one that does not listen must not stop us
            channel.sendall("\n".join(lines).encode())

    @contextlib.contextmanager
    def _channel(self) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(_PATIENCE)  # nor must one that does not read
            channel.connect(self._address)
            yield channel
