"""systemd's protocols with the standard library: sockets handed over (sd_listen_fds), readiness, watchdog."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING

from imds.core.errors import AddressTakenError

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

_FIRST_FD = 3
_PATIENCE = 0.25


def listen_fds(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """Return the sockets that systemd handed over, once; children will not see them.

    Raises:
        AddressTakenError: one of them is not a listening TCP socket.
    """
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    sockets = []
    for fd in range(_FIRST_FD, _FIRST_FD + int(count)):
        try:
            os.set_inheritable(fd, False)
            handed_over = socket.socket(fileno=fd)
            listening = handed_over.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError as error:
            raise AddressTakenError(f"descriptor {fd}, handed over by the service manager, is no socket") from error
        if not listening or handed_over.family not in (socket.AF_INET, socket.AF_INET6):
            raise AddressTakenError(f"socket {fd}, handed over by the service manager, does not listen on TCP")
        handed_over.setblocking(False)
        sockets.append(handed_over)
    return sockets


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
        with (
            contextlib.suppress(OSError),  # a manager that does not listen must not stop us
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel,
        ):
            channel.settimeout(_PATIENCE)  # nor one that does not read
            channel.connect(self._address)
            channel.sendall("\n".join(lines).encode())
