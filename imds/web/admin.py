"""Health and metrics, for whoever supervises the daemon: an HTTP server of its own, never on a metadata address.

Any process of this host may read it on a loopback address, so nothing in it is secret: names of roles and moments, no
keys, no account, no text of AWS's or of a caller's.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from http import HTTPStatus
from ipaddress import ip_address
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, cast

from aiohttp import web

from imds.core.callers import Caller
from imds.core.errors import RefusedError, RequestError
from imds.web.guards import refuse_marks
from imds.web.request import Request
from imds.web.statuses import STATUSES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from imds.web.guards import Guards

logger = logging.getLogger(__name__)

MOST_CONNECTIONS = 32
"""More make the oldest go: our open files are for those who want credentials."""

ACCEPTED_AT_ONCE = 8
"""Before the first of them is counted."""

BACKLOG = 128
PATIENCE = 10.0
"""Seconds between the requests of a kept-alive connection."""

SHARE = 10
"""After metrics were gathered, so many times as long as that took passes before they are again: a tenth of our time."""

LONGEST_WAIT = 1.0
"""Seconds; the first time a library is loaded."""

TELL_EVERY = 60.0
METRICS = "text/plain; version=0.0.4; charset=utf-8"
"""The text format of Prometheus."""

_HEADERS = {"Server": "imds", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Health(Protocol):
    """What the daemon says of itself."""

    @property
    def guards(self) -> Guards:
        """The checks in force on a request's head."""
        ...

    def ailing(self) -> list[str]:
        """Return the parts of the daemon that do not live any more; none of them where all is well."""
        ...

    async def readiness(self) -> dict[str, Any]:
        """Return whether we are ready, and how each role is: the answer of ``/readyz``."""
        ...

    def role(self, name: str) -> dict[str, Any] | None:
        """Return how one role is: the answer of ``/readyz/{role}``; None where there is none."""
        ...

    def metrics(self) -> AsyncIterator[bytes]:
        """Yield the metrics, one after the other, in the text format."""
        ...


def admin_application(health: Health) -> web.Application:
    """Return the application of the admin addresses."""
    handlers = _Handlers(health)
    app = web.Application(client_max_size=1024, middlewares=[handlers.check])
    app.add_routes(
        [
            web.get("/healthz", handlers.healthz),
            web.get("/readyz", handlers.readyz),
            web.get("/readyz/{role}", handlers.readyz),
            web.get("/metrics", handlers.metrics),
        ]
    )
    return app


async def serve_admin(health: Health, listeners: list[socket.socket]) -> Callable[[], Awaitable[None]]:
    """Serve health and metrics on ``listeners``; return what ends that."""
    app = admin_application(health)
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=1.0,
        keepalive_timeout=PATIENCE,
        lingering_time=0.0,
        auto_decompress=False,
    )
    await runner.setup()
    make = _Admission(cast("web.Server", runner.server))
    loop = asyncio.get_running_loop()
    serving = [await loop.create_server(make, sock=listener, backlog=ACCEPTED_AT_ONCE) for listener in listeners]
    for listener in listeners:
        listener.listen(BACKLOG)

    async def end() -> None:
        for server in serving:
            server.close()
        await runner.cleanup()

    return end


class _Admission:
    """Makes the protocols of new connections, and room for them."""

    def __init__(self, server: web.Server) -> None:
        self._server = server

    def __call__(self) -> asyncio.Protocol:
        connected = self._server._connections  # noqa: SLF001 - in the order in which they came; the public copy is a list
        while len(connected) >= MOST_CONNECTIONS:
            oldest = next(iter(connected))
            oldest.force_close()
            connected.pop(oldest, None)
        return self._server()


class _Handlers:
    def __init__(self, health: Health) -> None:
        self._health = health
        self._gathering = asyncio.Lock()
        self._gathered, self._began, self._again_at = b"", 0.0, 0.0
        self._told = -TELL_EVERY

    @web.middleware
    async def check(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Let through what a program of this host sends; say no more to others than that they get nothing."""
        try:
            self._guard(request)
            response = await handler(request)
        except RequestError as error:
            self._tell(error)
            response = _text("refused", STATUSES[type(error)])
        except web.HTTPException as error:
            response = _text(error.reason, error.status)
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
        response.headers.update(_HEADERS)
        return response

    async def healthz(self, _request: web.Request) -> web.Response:
        if ailing := self._health.ailing():
            return _text("\n".join(ailing), HTTPStatus.SERVICE_UNAVAILABLE)
        return _text("ok")

    async def readyz(self, request: web.Request) -> web.Response:
        role = request.match_info.get("role")
        told = await self._health.readiness() if role is None else self._health.role(role)
        if told is None:
            raise web.HTTPNotFound
        return web.json_response(told, status=200 if told["ready"] else HTTPStatus.SERVICE_UNAVAILABLE)

    async def metrics(self, _request: web.Request) -> web.Response:
        asked = monotonic()
        async with self._gathering:
            if self._began < asked:  # whoever waits for the same text shares it
                await self._gather()
        return web.Response(body=self._gathered, headers={"Content-Type": METRICS})

    async def _gather(self) -> None:
        """Gather the metrics when it is time; clients are answered in between."""
        await asyncio.sleep(self._again_at - monotonic())
        parts, spent = [], 0.0
        first = began = monotonic()
        async for part in self._health.metrics():
            parts.append(part)
            spent += monotonic() - began
            await asyncio.sleep(0)
            began = monotonic()
        self._gathered, self._began = b"".join(parts), first
        self._again_at = monotonic() + min(SHARE * spent, LONGEST_WAIT)

    def _guard(self, request: web.Request) -> None:
        """Let a program of this host pass.

        Raises:
            RefusedError: a page in a browser, a proxy or another host asks.
            BadRequestError: it is a GET with a body.
        """
        if request.transport is None:
            raise RefusedError("the client is gone")
        if request.transport.get_extra_info("socket").family == socket.AF_UNIX:
            refuse_marks(request.headers)
            return
        peer, local = (request.transport.get_extra_info(name)[0] for name in ("peername", "sockname"))
        if not ip_address(peer).is_loopback:
            raise RefusedError(f"{peer} is not this host")
        asked = Request(
            method=request.method,
            target=request.raw_path,
            headers=request.headers,
            has_body=request.can_read_body,
            caller=Caller(address=peer),
            local_address=local,
        )
        self._health.guards.check(asked)

    def _tell(self, error: RequestError) -> None:
        """Say why something was refused, once a minute."""
        level = logging.DEBUG
        if monotonic() - self._told >= TELL_EVERY:
            self._told, level = monotonic(), logging.WARNING
        because = "".join(char if char.isprintable() else "?" for char in str(error))
        logger.log(level, "refused at admin_listen: %s", because)


def _text(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text + "\n", status=status)
