"""Break-glass roles over the control socket, and the requests that wait for somebody's approval."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web

from imds.core.errors import BadRequestError
from imds.core.leases import LONGEST_REASON, MAX_TTL, MIN_TTL
from imds.web.peers import PEER, body_of, flag_of, mfa_code_of, text_of, whole_of

if TYPE_CHECKING:
    from imds.web.peers import Peer

VERBS = frozenset({"activate", "deactivate", "requests", "answer"})
"""For whoever sees an instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationRequest:
    """What somebody asks for.

    Attributes:
        role: its name.
        reason: why, in one line.
        ttl: for how long; None for as long as the role says.
        code: an MFA code, where one is at hand.
    """

    role: str
    reason: str
    ttl: timedelta | None = None
    code: str | None = field(default=None, repr=False)


class ActivationControls(Protocol):
    """What the daemon lets a user do with break-glass roles."""

    async def activate(self, peer: Peer, asked: ActivationRequest) -> dict[str, Any]:
        """Give a role to whoever asks, or say what it takes: ``needs`` is ``approval`` or ``code`` then.

        Raises:
            RequestError: the peer may not have it.
            CredentialsError: AWS does not give its session.
        """
        ...

    def deactivate(self, peer: Peer, role: str) -> dict[str, Any]:
        """End a peer's activation of a role.

        Raises:
            RequestError: there is none.
        """
        ...


class ApprovalControls(Protocol):
    """What the daemon lets a user do with requests."""

    def seen_by(self, peer: Peer) -> list[dict[str, Any]]:
        """Return the requests that a peer may answer, and its own."""
        ...

    def answer(self, peer: Peer, request_id: str, *, approve: bool) -> dict[str, Any]:
        """Approve or deny a request.

        Raises:
            RequestError: there is none, or it is not the peer's to answer.
        """
        ...


class ActivationHandlers:
    """The requests."""

    def __init__(self, activations: ActivationControls, approvals: ApprovalControls) -> None:
        self._activations = activations
        self._approvals = approvals

    def routes(self) -> list[web.RouteDef]:
        """Return the table of them."""
        return [
            web.post("/v1/activations", self.activate),
            web.delete("/v1/activations/{role}", self.deactivate),
            web.get("/v1/requests", self.requests),
            web.post("/v1/requests/{id}", self.answer),
        ]

    async def activate(self, request: web.Request) -> web.Response:
        """Activate a role: 201, or 202 with what it takes before."""
        given = await self._activations.activate(request[PEER], read_request(await body_of(request)))
        return web.json_response(given, status=202 if "needs" in given else 201)

    async def deactivate(self, request: web.Request) -> web.Response:
        """End an activation."""
        return web.json_response(self._activations.deactivate(request[PEER], request.match_info["role"]))

    async def requests(self, request: web.Request) -> web.Response:
        """List the requests."""
        return web.json_response({"requests": self._approvals.seen_by(request[PEER])})

    async def answer(self, request: web.Request) -> web.Response:
        """Approve a request, or deny it."""
        body = await body_of(request)
        if "approve" not in body:
            raise BadRequestError("approve must be true or false")
        answered = self._approvals.answer(request[PEER], request.match_info["id"], approve=flag_of(body, "approve"))
        return web.json_response(answered)


def read_request(body: dict[str, Any]) -> ActivationRequest:
    """Return what a body asks for.

    Raises:
        BadRequestError: it is not what one may ask for.
    """
    role, reason = text_of(body, "role"), text_of(body, "reason") or ""
    if role is None:
        raise BadRequestError("role must be a string")
    if len(reason) > LONGEST_REASON:
        raise BadRequestError(f"a reason has at most {LONGEST_REASON} characters")
    seconds = whole_of(body, "ttl")
    if seconds is not None and not MIN_TTL.total_seconds() <= seconds <= MAX_TTL.total_seconds():
        raise BadRequestError("a role is active between 1 minute and 12 hours (ttl, in whole seconds)")
    return ActivationRequest(
        role=role,
        reason=" ".join(reason.split()),
        ttl=timedelta(seconds=seconds) if seconds is not None else None,
        code=mfa_code_of(body) if body.get("code") is not None else None,
    )
