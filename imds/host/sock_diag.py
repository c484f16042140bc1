"""Who owns the client end of a TCP connection: one exact question to the kernel, ``sock_diag(7)``, in microseconds.

It needs no privilege and no scan of ``/proc``, and is right for IPv4, IPv6 and Java's v4-mapped sockets.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from imds.host.finding import Owner

if TYPE_CHECKING:
    from imds.host.finding import EndPoint

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h, net/tcp_states.h
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2
_INET_DIAG_CGROUP_ID = 21
NO_SOCKET_OF_A_PROCESS = frozenset({2, 6, 10, 12})
"""TCP_SYN_SENT, of which no connection has been accepted, TCP_TIME_WAIT, TCP_LISTEN, TCP_NEW_SYN_RECV."""

_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI 2s2s16s16sI8s")
_ANSWER = struct.Struct("=BBBB 2s2s16s16sI8s IIIII")
_ATTRIBUTE = struct.Struct("=HH")
_CGROUP_ID = struct.Struct("=Q")
_PATIENCE = 0.25


class SockDiag:
    """A look-up socket in this network namespace."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
        self._socket.bind((0, 0))
        self._socket.settimeout(_PATIENCE)
        self._sequence = 0

    def close(self) -> None:
        """Close the look-up socket."""
        self._socket.close()

    def owner(self, client: EndPoint, server: EndPoint) -> Owner | None:
        """Return who owns the client end of ``client → server``, None when it has no owner here.

        Raises:
            OSError: the kernel does not say.
        """
        source, destination = address(client[0]), address(server[0])
        family = socket.AF_INET if source.version == 4 else socket.AF_INET6  # noqa: PLR2004 - the IP version
        ports = client[1].to_bytes(2, "big"), server[1].to_bytes(2, "big")
        body = _REQUEST.pack(
            family,
            socket.IPPROTO_TCP,
            0xFF,  # every extension that fits the answer, the control group's id among them
            0,
            0xFFFFFFFF,
            *ports,
            source.packed.ljust(16, b"\0"),
            destination.packed.ljust(16, b"\0"),
            0,
            b"\xff" * 8,
        )
        kind, answer = self._ask(body)
        if kind == _NLMSG_ERROR:
            code = -struct.unpack_from("=i", answer)[0]
            if code == errno.ENOENT:
                return None
            raise OSError(code, os.strerror(code))
        fields = _ANSWER.unpack_from(answer)
        state, destination_port, uid, inode = fields[1], fields[5], fields[13], fields[14]
        # Without the exact socket the kernel falls back to a listener on its port: not the caller.
        if state in NO_SOCKET_OF_A_PROCESS or inode == 0 or destination_port != ports[1] or not is_known(uid):
            return None
        return Owner(int(uid), int(inode), _cgroup_id(answer))

    def _ask(self, body: bytes) -> tuple[int, bytes]:
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        length = _HEADER.size + len(body)
        self._socket.send(_HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, self._sequence, 0) + body)
        while True:
            answer = self._socket.recv(8192)
            length, kind, _, sequence, _ = _HEADER.unpack_from(answer)
            if sequence == self._sequence:  # else an answer that came after its time-out
                return kind, answer[_HEADER.size : length]


def _cgroup_id(answer: bytes) -> int | None:
    offset = _ANSWER.size
    while offset + _ATTRIBUTE.size <= len(answer):
        length, kind = _ATTRIBUTE.unpack_from(answer, offset)
        if kind == _INET_DIAG_CGROUP_ID and length >= _ATTRIBUTE.size + _CGROUP_ID.size:
            return int(_CGROUP_ID.unpack_from(answer, offset + _ATTRIBUTE.size)[0])
        if length < _ATTRIBUTE.size:
            break
        offset += (length + 3) & ~3
    return None


def is_known(uid: int) -> bool:
    """Whether a uid that the kernel tells is somebody's.

    It counts in the user namespace of whoever asks, where all users who have no number are told as one
    (user_namespaces(7)).
    """
    return uid != _nobody()


@cache
def _nobody() -> int | None:
    """Return the uid of those who have none in this user namespace; None where everybody has one."""
    try:
        everybody = Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]
        return None if everybody else int(Path("/proc/sys/kernel/overflowuid").read_text())
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=1024)
def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an address without zone, v4-mapped ones as IPv4."""
    found = ipaddress.ip_address(text.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found
