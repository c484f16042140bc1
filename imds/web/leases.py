"""Leases over the control socket: asked for, listed, revoked; held for as long as a command runs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web

from imds.core.errors import BadRequestError
from imds.core.leases import DEFAULT_TTL, LONGEST_REASON, MAX_TTL, MIN_TTL
from imds.core.narrowing import Narrowing
from imds.web.peers import PEER, body_of, flag_of, text_of

if TYPE_CHECKING:
    from imds.web.peers import Peer

LOOK_AGAIN = 0.25
"""Seconds between two looks whether whoever holds a lease is still there."""

VERBS = frozenset({"lease", "leases", "end"})
"""For whoever sees an instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequest:
    """What somebody asks for.

    Attributes:
        role: its name; None for the default one.
        ttl: how long it shall live.
        narrowing: what makes its session smaller than the role's.
        tags: further session tags.
        reason: for the record.
        instance: for whom, where it is not for the peer's own processes: callers to whom the rules give this instance.
        held: whether it ends when whoever asked goes away.
    """

    role: str | None
    ttl: timedelta
    narrowing: Narrowing
    tags: dict[str, str]
    reason: str
    instance: str | None = None
    held: bool = False


class LeaseControls(Protocol):
    """What the daemon lets a user do with leases."""

    async def grant(self, peer: Peer, asked: LeaseRequest) -> dict[str, Any]:
        """Return a new lease and what a client needs to use it.

        Raises:
            RequestError: the peer may not have it.
            CredentialsError: AWS does not give its session.
        """
        ...

    def seen_by(self, peer: Peer) -> list[dict[str, Any]]:
        """Return the live leases that a peer may see."""
        ...

    def revoke(self, peer: Peer, lease_id: str, *, command_ended: bool = False) -> dict[str, Any]:
        """End a lease, maybe since its command has ended; return until when its keys work, and what ends them before.

        Raises:
            RequestError: the peer has no such lease.
        """
        ...

    def why_ended(self, lease_id: str) -> str | None:
        """Return why a held lease has ended; None while it is live."""
        ...

    def let_go(self, lease_id: str) -> None:
        """End a held lease: whoever asked for it has gone."""
        ...


class LeaseHandlers:
    """The requests."""

    def __init__(self, controls: LeaseControls) -> None:
        self._controls = controls

    def routes(self) -> list[web.RouteDef]:
        """Return the table of them."""
        return [
            web.post("/v1/leases", self.lease),
            web.get("/v1/leases", self.leases),
            web.delete("/v1/leases/{id}", self.end),
        ]

    async def lease(self, request: web.Request) -> web.StreamResponse:
        """Give a lease; one that is held is a line, and at its end another that says why."""
        asked = read_request(await body_of(request))
        given = await self._controls.grant(request[PEER], asked)
        if not asked.held:
            return web.json_response(given, status=201)
        try:
            return await self._hold(request, given)
        finally:
            self._controls.let_go(given["id"])

    async def _hold(self, request: web.Request, given: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(status=201, headers={"Content-Type": "application/jsonl"})
        try:
            await response.prepare(request)
            await response.write(json.dumps(given).encode() + b"\n")
            while (why := self._controls.why_ended(given["id"])) is None:
                if request.transport is None or request.transport.is_closing():
                    return response
                await asyncio.sleep(LOOK_AGAIN)
            await response.write(json.dumps({"ended": why}).encode() + b"\n")
        except ConnectionError:
            pass  # it has gone; the lease ends with it
        return response

    async def leases(self, request: web.Request) -> web.Response:
        """List the live leases."""
        return web.json_response({"leases": self._controls.seen_by(request[PEER])})

    async def end(self, request: web.Request) -> web.Response:
        """End one."""
        command_ended = flag_of(await body_of(request), "command_ended")
        lease_id = request.match_info["id"]
        return web.json_response(self._controls.revoke(request[PEER], lease_id, command_ended=command_ended))


def read_request(body: dict[str, Any]) -> LeaseRequest:
    """Return what a body asks for.

    Raises:
        BadRequestError: it is not what one may ask for.
    """
    seconds = body.get("ttl", int(DEFAULT_TTL.total_seconds()))
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not _within(seconds):
        raise BadRequestError("a lease lives between 1 minute and 12 hours (ttl, in whole seconds)")
    reason = text_of(body, "reason") or ""
    if len(reason) > LONGEST_REASON:
        raise BadRequestError(f"a reason has at most {LONGEST_REASON} characters")
    tags = body.get("tags", {})
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise BadRequestError("tags must be an object of strings")
    return LeaseRequest(
        role=text_of(body, "role"),
        ttl=timedelta(seconds=seconds),
        narrowing=Narrowing(read_only=flag_of(body, "read_only"), policy=text_of(body, "policy")),
        tags=tags,
        reason=" ".join(reason.split()),
        instance=text_of(body, "instance"),
        held=flag_of(body, "hold"),
    )


def _within(seconds: int) -> bool:
    return MIN_TTL.total_seconds() <= seconds <= MAX_TTL.total_seconds()
