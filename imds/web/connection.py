"""The server of the metadata listeners, and the connections that aiohttp parses.

Three things differ from an ordinary aiohttp server. The caller is looked up when the connection is accepted, because a
client that sends and exits is gone by the time its request has been read. A request without ``Host`` is let through
(the AWS CRT before 0.6.29 sends none). And answers are written as ready bytes, in EC2's order. A connection begins as
a ``PlainConnection`` and comes here when it sends something that is not plain.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
from dataclasses import replace
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, cast

from aiohttp import HttpVersion10, web

from imds.core.callers import EVERYTHING
from imds.web import answer as answers
from imds.web import tally
from imds.web.plain import MOST_UNREAD, PlainConnection, reset
from imds.web.request import Request

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from imds.core.callers import Caller, Fact
    from imds.core.clock import SystemClock
    from imds.web.answer import Answer
    from imds.web.service import Service

logger = logging.getLogger(__name__)

HEAD_TIMEOUT = 5.0
"""Seconds for a complete request head, and for a kept-alive connection to send its next."""

LINGER = 2.0
"""Seconds for which the body of a request that needs none is read and thrown away."""

MAX_HEAD = 16 * 1024
"""Bytes of a request head; SDKs send less than one kilobyte."""

TIMED = 16
"""Of so many connections one is timed: all of them would make the shortest answer one percent longer."""

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
        if self.keep_alive and request.transport.get_write_buffer_size() > MOST_UNREAD:
            request.transport.abort()  # it asks and asks and does not read: that would fill our memory

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to send."""


class Connection(web.RequestHandler):
    """One client's connection."""

    __slots__ = ("_head", "arrival", "caller", "late", "served", "timed")

    def __init__(self, server: MetadataServer, arrival: Any, caller: Caller, **settings: Any) -> None:  # noqa: ANN401 - the last are aiohttp's own
        super().__init__(server, loop=asyncio.get_running_loop(), **settings)
        self._head: bytes | None = b""
        self.arrival = arrival
        self.caller = caller
        self.served = self.late = self.timed = False

    def data_received(self, data: bytes) -> None:
        """Collect the first head, so that one without ``Host`` can be given an empty one; then hand over."""
        if self._head is None:
            super().data_received(data)
            return
        seen = max(0, len(self._head) - 3)  # the head's end may have begun there
        self._head += data
        complete = _HEAD_END.search(self._head, seen)
        if complete is None and len(self._head) <= MAX_HEAD and _REQUEST_LINE_START.match(self._head):
            return
        head, self._head = self._head, None
        if complete is not None and not _HOST.search(head, 0, complete.end()):
            head = head.replace(b"\r\n", b"\r\nHost:\r\n", 1)
        super().data_received(head)

    @property
    def idle(self) -> bool:
        """Whether it waits for a request."""
        return self._waiter is not None and not self._waiter.done()

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
        server.service.tally.answers[tally.NONE, int(status)] += 1
        return server.response(answers.empty(int(status)), request)


class Callers(Protocol):
    """Tells who is calling."""

    def arrive(self, transport: asyncio.Transport) -> Any:  # noqa: ANN401 - what look_up wants; has a ``caller``
        """Return a connection as it was accepted: its ``caller`` is who is there, as far as that is known at once."""
        ...

    async def look_up(self, arrival: Any, caller: Caller, wanted: frozenset[Fact]) -> Caller:  # noqa: ANN401 - as above
        """Return ``caller`` with the wanted facts looked up too, soon: what takes too long is not known."""
        ...

    def glance(self, arrival: Any, caller: Caller) -> Coroutine[Any, Any, Caller] | None:  # noqa: ANN401 - as above
        """Return what finds out more for the record, soon; None where that would cost too much at this moment."""
        ...


class MetadataServer(web.Server):
    """The protocol factory of every metadata and container-credentials listener.

    Args:
        service: gives the answers.
        callers: tells who is at the other end of a transport.
        clock: the time.
        most_connections: beyond this the connection that has waited longest without a request makes room.

    Attributes:
        accepted: how many connections there have been.
    """

    def __init__(
        self,
        *,
        service: Service,
        callers: Callers,
        clock: SystemClock,
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
        self.observe = service.tally.took.observe
        self.callers = callers
        self._clock = clock
        self.most_connections = most_connections
        self.accepted = 0
        self._plain: dict[PlainConnection, float] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def __call__(self) -> asyncio.Protocol:  # type: ignore[override] # aiohttp's handler comes into play later
        """Return the protocol of a new connection."""
        return PlainConnection(self)

    def parsing(self, arrival: Any, caller: Caller) -> Connection:  # noqa: ANN401 - as Callers has it
        """Return the protocol for a connection that sends something else than plain requests."""
        return Connection(self, arrival, caller, **self._kwargs)

    def glance(self, arrival: Any, caller: Caller) -> Coroutine[Any, Any, Caller] | None:  # noqa: ANN401 - as above
        """Return what finds out more for the record; None where all is known, or that would cost too much now."""
        return None if caller.looked_up == EVERYTHING else self.callers.glance(arrival, caller)

    def plain_made(self, connection: PlainConnection) -> None:
        """Count a new connection in, and make room for it: the one that has waited longest for a request goes."""
        self.accepted += 1
        if len(self._plain) + len(self._connections) >= self.most_connections:
            waiting: Iterator[PlainConnection | Connection] = (other for other in self._plain if not other.served)
            parsing = [cast("Connection", other) for other in self._connections]
            oldest = (
                next(waiting, None)
                or next((other for other in parsing if other.late or not other.served), None)
                or next(iter(self._plain), None)  # kept alive, between two requests
                or next((other for other in parsing if other.idle), None)  # likewise
            )
            if isinstance(oldest, PlainConnection):
                oldest.close()
            elif oldest is not None:
                oldest.force_close()
                self._connections.pop(oldest, None)
        self.plain_waits(connection)
        self._clock.notice()

    @property
    def times_next(self) -> bool:
        """Whether it is noted how long the answers to the next connection take."""
        return not self.accepted % TIMED

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return len(self._plain) + len(self._connections)

    def plain_waits(self, connection: PlainConnection) -> None:
        """Give a connection its time to send a request; they stand in the order in which it ends."""
        self._plain.pop(connection, None)
        deadline = self._plain[connection] = self._loop.time() + HEAD_TIMEOUT
        if self._sweep is None:
            self._sweep = self._loop.call_at(deadline, self._close_silent)

    def _close_silent(self) -> None:
        """Close who let the time pass; one timer serves all."""
        self._sweep = None
        now = self._loop.time()
        for connection, deadline in list(self._plain.items()):
            if deadline > now:
                break
            if connection.waits:  # for our answer, not we for its request
                self.plain_gone(connection)
                self._plain[connection] = now + HEAD_TIMEOUT
            else:
                connection.close()
        if self._plain:
            self._sweep = self._loop.call_at(next(iter(self._plain.values())), self._close_silent)

    def plain_gone(self, connection: PlainConnection) -> None:
        """Count a connection out."""
        self._plain.pop(connection, None)

    def answer(self, request: Request, *, late: bool) -> Answer:
        """Answer a request; a mistake of ours is a 500, told in the log."""
        try:
            return self.service.answer(request, late=late)
        except Exception:
            logger.exception("unexpected failure while answering")
            self.service.tally.answers[tally.NONE, 500] += 1
            return answers.empty(HTTPStatus.INTERNAL_SERVER_ERROR)

    def send(self, transport: asyncio.Transport, answer: Answer, *, head_only: bool) -> None:
        """Write an answer."""
        if answer.hops is not None:
            _limit_hops(transport, answer.hops)
        transport.write(answer.to_bytes(self._clock.now(), head_only=head_only))

    async def drain(self, patience: float) -> None:
        """Let every client that is connected send its request and have its answer, then close."""
        self.service.hurry()
        for parsed in self.connections:
            if cast("Connection", parsed).served:
                parsed.close()  # a kept-alive one between two requests
        for plain in [plain for plain in self._plain if plain.served and not plain.waits]:
            plain.close()
        deadline = self._loop.time() + patience
        await asyncio.sleep(0.02)  # whoever was accepted a moment ago is not counted yet
        while (self._connections or self._plain) and self._loop.time() < deadline:  # noqa: ASYNC110 - bounded
            await asyncio.sleep(0.02)
        for silent in list(self._plain):
            silent.close()
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
        began = monotonic()
        if request.transport is None:
            return self.response(answers.empty(HTTPStatus.BAD_REQUEST), request)  # to nobody: the client is gone
        if request.version < HttpVersion10:  # aiohttp takes a line without a version for HTTP/0.9
            return connection.handle_error(request, HTTPStatus.BAD_REQUEST, message="no version")
        asked = Request(
            method=request.method,
            target=request.raw_path,
            headers=request.headers,
            has_body=request.can_read_body,
            caller=connection.caller,
            local_address=connection.arrival.local_address,
        )
        if delay := self.service.delay(asked):
            connection.late = True
            await self.service.wait(delay)
            connection.late = False
        answer = self.answer(asked, late=delay > 0)
        if self.service.is_recorded(asked, answer):
            glance = self.glance(connection.arrival, connection.caller)
            self.service.record(asked, answer, await glance if glance is not None else connection.caller)
        if answer.reset and connection.transport is not None:
            reset(connection.transport)
        if answer.hops is not None and connection.transport is not None:
            _limit_hops(connection.transport, answer.hops)
        if connection.timed:
            self.observe(monotonic() - began)
        return self.response(answer, request)


def _limit_hops(transport: asyncio.Transport, hops: int) -> None:
    """Let what is sent from now on travel ``hops`` hosts far, as EC2 does with token responses."""
    connected = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):  # the client may be gone
        if connected.family == socket.AF_INET6:
            connected.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
        connected.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)  # a v6 socket too: its peer may be v4-mapped
