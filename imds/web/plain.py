"""The plain requests that clients really send, answered at once; everything else goes to aiohttp.

Nearly every request is one small segment: a request line, a few headers, no body. Such a one is answered here without
a task or a stream. The reader is strict and never decides: what it is not sure of (a half-received head, a body, an odd
character, a header that stands twice, any other method or version) it hands to aiohttp's parser with the connection,
byte for byte. Both ways end in the same ``Service.answer``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import struct
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from multidict import CIMultiDict

from imds.core.callers import EVERYTHING
from imds.web.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from imds.core.callers import Caller
    from imds.web.answer import Answer
    from imds.web.connection import MetadataServer

logger = logging.getLogger(__name__)

LONGEST = 4096
"""Bytes; SDKs send less than one kilobyte."""

MOST_UNREAD = 64 * 1024
"""Bytes of answers that a client may leave unread."""

_REQUEST_LINE = re.compile(rb"(GET|HEAD|PUT) (/[!-~]*) HTTP/1\.1")
_HEADER = re.compile(rb"([A-Za-z0-9-]+):[ \t]*([ -~]*?)[ \t]*")
_NOT_PLAIN = frozenset({"transfer-encoding", "expect", "upgrade", "te", "trailer", "proxy-connection", "keep-alive"})


def read_plain(data: bytes) -> tuple[str, str, CIMultiDict[str]] | None:
    """Return method, target and headers of a whole, plain request; None for anything else."""
    if len(data) > LONGEST or data.find(b"\r\n\r\n") != len(data) - 4:
        return None
    first, *lines = data[:-4].split(b"\r\n")
    request_line = _REQUEST_LINE.fullmatch(first)
    if request_line is None:
        return None
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None:
            return None
        name, value = found[1].decode(), found[2].decode()
        if name in headers or name.lower() in _NOT_PLAIN:
            return None
        headers[name] = value
    if headers.get("Content-Length", "0") != "0" or headers.get("Connection", "close").lower() not in _PLAIN_CONNECTION:
        return None
    return request_line[1].decode(), request_line[2].decode(), headers


_PLAIN_CONNECTION = ("close", "keep-alive")


def reset(transport: asyncio.Transport) -> None:
    """Close a connection as a host does that knows nothing of it; simulated."""
    connected = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class PlainConnection(asyncio.Protocol):
    """A client's connection until it sends something that is not plain.

    Where a rule asks for more than the kernel says at once, what the client sends is kept until that is known. Where an
    answer goes on record, it is kept for a moment until the client's process is known, which is gone soon afterwards.

    Attributes:
        served: whether it has had an answer and is kept open for more.
        timed: whether it is noted how long its answers take.
    """

    __slots__ = (
        "_arrival",
        "_began",
        "_caller",
        "_early",
        "_ended",
        "_on_record",
        "_server",
        "_transport",
        "_waits_for",
        "served",
        "timed",
    )

    def __init__(self, server: MetadataServer) -> None:
        self._server = server
        self._arrival: Any = None
        self._began = 0.0
        self.timed = server.times_next
        self._caller: Caller | None = None
        self._on_record: Caller | None = None
        self._transport: asyncio.Transport | None = None
        self._waits_for: asyncio.Task[Caller] | None = None
        self._early = b""
        self._ended = False
        self.served = False

    @property
    def waits(self) -> bool:
        """Whether its answer is being prepared."""
        return self._waits_for is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn who is calling, before a byte is read."""
        self._transport = cast("asyncio.Transport", transport)
        self._arrival = self._server.callers.arrive(self._transport)
        self._caller = self._arrival.caller
        self._server.plain_made(self)
        if wanted := self._server.service.wanted_facts(self._caller):
            self._wait(self._server.callers.look_up(self._arrival, self._caller, wanted), self._known)

    def data_received(self, data: bytes) -> None:
        """Answer a plain request; hand anything else over."""
        if self._transport is None or self._transport.is_closing() or self._caller is None:
            return
        if self.timed and not self._began:
            self._began = monotonic()
        if self._waits_for is not None:
            self._early += data
            if len(self._early) > MOST_UNREAD:
                self._transport.abort()  # it sends and sends, and has not been answered yet
            return
        if wanted := self._server.service.wanted_facts(self._caller):  # the rules have changed since it connected
            self._early += data
            self._wait(self._server.callers.look_up(self._arrival, self._caller, wanted), self._known)
            return
        plain = read_plain(data)
        if plain is None:
            self._hand_over(data)
            return
        method, target, headers = plain
        request = Request(
            method=method,
            target=target,
            headers=headers,
            has_body=False,
            caller=self._caller,
            local_address=self._arrival.local_address,
        )
        if delay := self._server.service.delay(request):
            self._wait(self._late(delay, self._caller), lambda _: self._answer(request, late=True))
        else:
            self._answer(request, late=False)

    async def _late(self, delay: float, caller: Caller) -> Caller:
        """Return ``caller`` after a while; simulated latency."""
        await self._server.service.wait(delay)
        return caller

    def _answer(self, request: Request, *, late: bool) -> None:
        answer = self._server.answer(request, late=late)
        if not self._server.service.is_recorded(request, answer):
            self._send(request, answer)
        elif (glance := self._server.glance(self._arrival, self._on_record or request.caller)) is not None:
            self._wait(glance, partial(self._record, request, answer))
        else:
            self._record(request, answer, self._on_record or request.caller)

    def eof_received(self) -> bool:
        """Stay for the answer when a client that is being looked up says that it sends no more."""
        self._ended = True
        return self._waits_for is not None

    def _wait(self, looking: Coroutine[Any, Any, Caller], then: Callable[[Caller], None]) -> None:
        """Go on with ``then`` once it is known who is calling, and with what the client has sent meanwhile."""

        def known(looked: asyncio.Task[Caller]) -> None:
            self._waits_for = None
            if looked.cancelled() or self._transport is None or self._caller is None:
                return
            if (mistake := looked.exception()) is not None:
                logger.error("unexpected failure while looking a caller up", exc_info=mistake)
            # after a mistake of ours nothing more is known of it, ever
            then(looked.result() if mistake is None else replace(self._caller, looked_up=EVERYTHING))
            early, self._early = self._early, b""
            if early:
                self.data_received(early)
            elif self._ended and self._waits_for is None:
                self.close()  # nobody asks any more

        self._waits_for = asyncio.get_running_loop().create_task(looking)
        self._waits_for.add_done_callback(known)

    def _known(self, caller: Caller) -> None:
        self._caller = caller

    def _record(self, request: Request, answer: Answer, caller: Caller) -> None:
        self._on_record = caller
        self._server.service.record(request, answer, caller)
        self._send(request, answer)

    def _send(self, request: Request, answer: Answer) -> None:
        if self._transport is None:
            return
        if answer.reset:
            reset(self._transport)
            return
        keep_alive = answer.keep_alive and request.headers.get("Connection", "").lower() != "close"
        if answer.keep_alive != keep_alive:
            answer = replace(answer, keep_alive=keep_alive)
        self._server.send(self._transport, answer, head_only=request.method == "HEAD")
        if self.timed:
            self._server.observe(monotonic() - self._began)
            self._began = 0.0
        if keep_alive and self._transport.get_write_buffer_size() > MOST_UNREAD:
            self._transport.abort()  # it asks and asks and does not read: that would fill our memory
        elif keep_alive:
            self.served = True
            self._server.plain_waits(self)
        else:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget it."""
        if self._waits_for is not None:
            self._waits_for.cancel()
        self._server.plain_gone(self)
        self._transport = None

    def close(self) -> None:
        """Close once what was written has been sent."""
        self._server.plain_gone(self)
        if self._transport is not None:
            self._transport.close()

    def _hand_over(self, data: bytes) -> None:
        """Let aiohttp read what came and whatever follows."""
        transport = self._transport
        if transport is None or self._caller is None:
            return
        self._server.plain_gone(self)
        self._transport = None
        handler = self._server.parsing(self._arrival, self._caller)
        handler.timed = self.timed
        transport.set_protocol(handler)
        handler.connection_made(transport)
        handler.data_received(data)
