"""Who is at the other end of a TCP connection? The kernel says, for every connection, in microseconds.

``sock_diag(7)`` answers an exact look-up of the *client's* socket in this network namespace: no privilege, no scan of
``/proc``, and right for IPv4, IPv6 and Java's v4-mapped sockets. A peer whose socket is not here (another host, another
network namespace, gone already) stays unknown, and unknown matches no rule.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import pwd
import socket
import struct
from functools import lru_cache
from typing import TYPE_CHECKING

from imds.core.policy import Caller

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger(__name__)

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h, net/tcp_states.h
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2
_NO_SOCKET_OF_A_PROCESS = frozenset({6, 10, 12})  # TCP_TIME_WAIT, TCP_LISTEN, TCP_NEW_SYN_RECV
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI 2s2s16s16sI8s")
_ANSWER = struct.Struct("=BBBB 2s2s16s16sI8s IIIII")
_PATIENCE = 0.25


class Callers:
    """Looks callers up; one per process."""

    def __init__(self) -> None:
        self._diag = _open_sock_diag()
        self._sequence = 0

    def identify(self, transport: asyncio.Transport) -> Caller:
        """Return who is at the other end of ``transport``; called when a connection is accepted."""
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if not peer or not local:
            return Caller(address="?")
        address = str(_address(peer[0]))
        try:
            uid = self._uid((peer[0], peer[1]), (local[0], local[1]))
        except OSError as error:
            logger.warning("the kernel does not tell who is calling: %s", error)
            uid = None
        return Caller(address=address, uid=uid, user=user_name(uid) if uid is not None else None)

    def close(self) -> None:
        """Close the look-up socket."""
        if self._diag is not None:
            self._diag.close()

    def _uid(self, client: tuple[str, int], server: tuple[str, int]) -> int | None:
        """Return the uid that owns the client end of ``client → server``, None when it has no owner here."""
        if self._diag is None:
            return None
        source, destination = _address(client[0]), _address(server[0])
        family = socket.AF_INET if source.version == 4 else socket.AF_INET6  # noqa: PLR2004 - the IP version
        ports = client[1].to_bytes(2, "big"), server[1].to_bytes(2, "big")
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        body = _REQUEST.pack(
            family,
            socket.IPPROTO_TCP,
            0,
            0,
            0xFFFFFFFF,
            *ports,
            source.packed.ljust(16, b"\0"),
            destination.packed.ljust(16, b"\0"),
            0,
            b"\xff" * 8,
        )
        length = _HEADER.size + len(body)
        self._diag.send(_HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, self._sequence, 0) + body)
        kind, answer = self._receive()
        if kind == _NLMSG_ERROR:
            code = -struct.unpack_from("=i", answer)[0]
            if code == errno.ENOENT:
                return None
            raise OSError(code, os.strerror(code))
        fields = _ANSWER.unpack_from(answer)
        state, destination_port, uid, inode = fields[1], fields[5], fields[13], fields[14]
        # Without the exact socket the kernel falls back to a listener on its port: not the caller.
        if state in _NO_SOCKET_OF_A_PROCESS or inode == 0 or destination_port != ports[1]:
            return None
        return int(uid)

    def _receive(self) -> tuple[int, bytes]:
        assert self._diag is not None  # noqa: S101 - for the type checker; the caller has looked
        while True:
            answer = self._diag.recv(8192)
            _, kind, _, sequence, _ = _HEADER.unpack_from(answer)
            if sequence == self._sequence:  # else an answer that came after its time-out
                return kind, answer[_HEADER.size :]


@lru_cache(maxsize=1024)
def user_name(uid: int) -> str | None:
    """Return the name of a user, None for a uid without one."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


@lru_cache(maxsize=1024)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an address without zone, v4-mapped ones as IPv4."""
    address = ipaddress.ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def _open_sock_diag() -> socket.socket | None:
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        logger.warning("this system does not tell who is calling: every caller is unknown and will be refused")
        return None
    diag = socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
    diag.bind((0, 0))
    diag.settimeout(_PATIENCE)
    return diag
