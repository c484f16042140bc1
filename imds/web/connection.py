"""Connections of the metadata listeners: aiohttp's parser and framing, with the limits of a service that many share.

Three things differ from an ordinary aiohttp server. The caller is looked up when the connection is accepted, because a
client that sends and exits is gone by the time its request has been read. A request without ``Host`` is let through
(the AWS CRT before 0.6.29 sends none). And answers are written as ready bytes, in EC2's order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from imds.web import answer as answers
from imds.web.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from imds.core.clock import SystemClock
    from imds.core.policy import Caller
    from imds.web.answer import Answer
    from imds.web.service import Service

logger = logging.getLogger(__name__)

HEAD_TIMEOUT = 5.0
"""Seconds for a complete request head, and for a kept-alive connection to send its next."""

LINGER = 2.0
"""Seconds for which the body of a request that needs none is read and thrown away."""

MAX_HEAD = 16 * 1024
"""Bytes of a request head; SDKs send less than one kilobyte."""

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_HOST = re.compile(rb"\nhost[ \t]*:", re.IGNORECASE)
_REQUEST_LINE_START = re.compile(rb"[A-Z]{1,16}(?: |$)")


class ReadyResponse:
    """Duck-types the part of ``web.StreamResponse`` that aiohttp's protocol uses; carries bytes, nothing else."""

    __slots__ = ("_wire", "keep_alive")

    def __init__(self, wire: bytes, *, keep_alive: bool) -> None:
        self._wire = wire
        self.keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send everything.

        Raises:
            ConnectionResetError: the client is gone.
        """
        if request.transport is None:
            raise ConnectionResetError("the client is gone")
        request.transport.write(self._wire)

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to send."""


class Connection(web.RequestHandler):
    """One client's connection."""

    __slots__ = ("_head", "_identify", "caller", "served")

    def __init__(self, server: MetadataServer, *, loop: asyncio.AbstractEventLoop, **settings: Any) -> None:  # noqa: ANN401 - aiohttp's own
        super().__init__(server, loop=loop, **settings)
        self._identify = server.identify
        self._head: bytes | None = b""
        self.caller: Caller | None = None
        self.served = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn who is calling, before a byte is read."""
        self.caller = self._identify(cast("asyncio.Transport", transport))
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Collect the first head, so that one without ``Host`` can be given an empty one; then hand over."""
        if self._head is None:
            super().data_received(data)
            return
        self._head += data
        complete = _HEAD_END.search(self._head)
        if complete is None and len(self._head) <= MAX_HEAD and _REQUEST_LINE_START.match(self._head):
            return
        head, self._head = self._head, None
        if complete is not None and not _HOST.search(head, 0, complete.end()):
            head = head.replace(b"\r\n", b"\r\nHost:\r\n", 1)
        super().data_received(head)

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp's always closes
        """Stay for the answer when a client that has asked only says that it sends no more, as ``nc -N`` does."""
        return self._waiter is None or self._waiter.done()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what aiohttp could not parse, or a mistake of ours, with a status alone."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("unexpected failure while answering", exc_info=exc)
        else:
            logger.debug("400 to %s: malformed request: %s", self.caller, message)
            status = HTTPStatus.BAD_REQUEST
        server = cast("MetadataServer", self._manager)
        return server.response(answers.empty(int(status)), request)


class MetadataServer(web.Server):
    """The protocol factory of every metadata and container-credentials listener.

    Args:
        service: gives the answers.
        identify: tells who is at the other end of a transport.
        clock: the time.
        hop_limit: IP TTL of token responses, as ``http_put_response_hop_limit``.
        most_connections: beyond this the connection that has waited longest without a request makes room.
    """

    def __init__(
        self,
        *,
        service: Service,
        identify: Callable[[asyncio.Transport], Caller],
        clock: SystemClock,
        hop_limit: int,
        most_connections: int,
    ) -> None:
        super().__init__(
            self._handle,
            access_log=None,
            keepalive_timeout=HEAD_TIMEOUT,
            lingering_time=LINGER,
            max_headers=64,
            tcp_keepalive=False,
            auto_decompress=False,
        )
        self.service = service
        self.identify = identify
        self.hop_limit = hop_limit
        self._clock = clock
        self._most_connections = most_connections

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Count the connection in, and make room for it."""
        if len(self._connections) >= self._most_connections:
            idle = (other for other in self._connections if not cast("Connection", other).served)
            oldest = next(idle, None)
            if oldest is not None:
                oldest.force_close()
                self._connections.pop(oldest, None)
        super().connection_made(handler, transport)
        self._clock.notice()

    async def drain(self, patience: float) -> None:
        """Let every client that is connected send its request and have its answer, then close."""
        for connection in self.connections:
            if cast("Connection", connection).served:
                connection.close()  # a kept-alive one between two requests
        deadline = self._loop.time() + patience
        while self._connections and self._loop.time() < deadline:  # noqa: ASYNC110 - bounded, and only at the end
            await asyncio.sleep(0.02)
        await self.shutdown(patience)

    def response(self, answer: Answer, request: web.BaseRequest) -> web.StreamResponse:
        """Return ``answer`` as aiohttp sends it."""
        keep_alive = answer.keep_alive and bool(request.keep_alive)
        if answer.keep_alive != keep_alive:
            answer = replace(answer, keep_alive=keep_alive)
        wire = answer.to_bytes(self._clock.now(), head_only=request.method == "HEAD")
        return cast("web.StreamResponse", ReadyResponse(wire, keep_alive=keep_alive))

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = cast("Connection", request.protocol)
        connection.served = True
        caller = connection.caller
        if caller is None or request.transport is None:
            return self.response(answers.empty(HTTPStatus.BAD_REQUEST), request)  # to nobody: the client is gone
        local = request.transport.get_extra_info("sockname")[0].partition("%")[0].removeprefix("::ffff:")
        answer = self.service.answer(
            Request(
                method=request.method,
                target=request.raw_path,
                headers=request.headers,
                has_body=request.can_read_body,
                caller=caller,
                local_address=local,
            )
        )
        if answer.hop_limited:
            _limit_hops(request.transport, self.hop_limit)
        return self.response(answer, request)


def _limit_hops(transport: asyncio.Transport, hops: int) -> None:
    """Let what is sent from now on travel ``hops`` hosts far, as EC2 does with token responses."""
    connected = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):  # the client may be gone
        if connected.family == socket.AF_INET6:
            connected.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
        else:
            connected.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
