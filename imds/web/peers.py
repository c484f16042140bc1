"""Who is at the other end of the control socket, and what they sent."""

from __future__ import annotations

import errno
import json
import os
import re
import select
import socket
import struct
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from imds.core.callers import Caller
from imds.core.errors import BadRequestError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imds.core.instances import Instance


_SO_PEERPIDFD = 77
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who asks, and what the rules give them.

    Attributes:
        instance: the instance that they see; None for root and for an owner whom no rule means.
        control: whether they may control the daemon.
        caller: what is known of them, for the record.
    """

    uid: int
    pid: int | None
    instance: Instance | None
    control: bool
    caller: Caller | None = None

    @property
    def who(self) -> Caller:
        """What is known of it, which is its user at least."""
        return self.caller or Caller(address="", uid=self.uid)


MFA_CODE = re.compile(r"[0-9]{6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedProcess:
    """The process that connected, as the kernel tells.

    Attributes:
        pid: None where it is not told, or it has ended already.
        pinned: its pidfd; None where the kernel has none to give.
    """

    uid: int
    pid: int | None
    pinned: int | None = None

    @property
    def ended(self) -> bool:
        """Whether it is sure that it has ended, so that its number may name another."""
        if self.pinned is None:
            return False
        looked = select.poll()
        looked.register(self.pinned, select.POLLIN)
        return bool(looked.poll(0))


@contextmanager
def connected_process(request: web.Request) -> Iterator[ConnectedProcess]:
    """Yield the process at the other end of a unix socket, pinned meanwhile (``SO_PEERPIDFD``, Linux 6.5).

    Raises:
        RefusedError: it is gone.
    """
    if request.transport is None:
        raise RefusedError("the peer is gone")
    peer = request.transport.get_extra_info("socket")
    if not hasattr(socket, "SO_PEERCRED"):  # macOS: the socket's mode is all there is
        yield ConnectedProcess(uid=os.getuid(), pid=None)
        return
    pid, uid, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    try:
        pinned = peer.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError as error:
        older = error.errno == errno.ENOPROTOOPT
        yield ConnectedProcess(uid=uid, pid=pid if older else None)  # else it has ended
        return
    try:
        process = ConnectedProcess(uid=uid, pid=pid, pinned=pinned)
        yield replace(process, pid=None) if process.ended else process
    finally:
        os.close(pinned)


PEER: Final = web.RequestKey("peer", Peer)


async def body_of(request: web.Request) -> dict[str, Any]:
    """Return the JSON object that a request holds, an empty one where it holds nothing.

    Raises:
        BadRequestError: it holds something else.
    """
    try:
        body = json.loads((await request.read()).decode() or "{}")  # JSON is UTF-8, whatever a charset says
    except (ValueError, RecursionError, web.RequestPayloadError) as error:  # huge numbers, nesting, broken chunks
        raise BadRequestError("the body is not JSON") from error
    if not isinstance(body, dict):
        raise BadRequestError("the body is not a JSON object")
    return body


def text_of(body: dict[str, Any], name: str) -> str | None:
    """Return a text that a body may have.

    Raises:
        BadRequestError: it is something else.
    """
    text = body.get(name)
    if not isinstance(text, str | None):
        raise BadRequestError(f"{name} must be a string")
    return text


def flag_of(body: dict[str, Any], name: str) -> bool:
    """Return a flag that a body may have; not having it is no.

    Raises:
        BadRequestError: it is something else.
    """
    flag = body.get(name, False)
    if not isinstance(flag, bool):
        raise BadRequestError(f"{name} must be true or false")
    return flag


def whole_of(body: dict[str, Any], name: str) -> int | None:
    """Return a whole number that a body may have.

    Raises:
        BadRequestError: it is something else.
    """
    number = body.get(name)
    if not isinstance(number, int | None) or isinstance(number, bool):
        raise BadRequestError(f"{name} must be a whole number")
    return number


def mfa_code_of(body: dict[str, Any]) -> str:
    """Return the MFA code of a body.

    Raises:
        BadRequestError: there is none.
    """
    code = body.get("code")
    if not isinstance(code, str) or not MFA_CODE.fullmatch(code):
        raise BadRequestError("an MFA code has six digits")
    return code
