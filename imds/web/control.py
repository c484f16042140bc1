"""The control socket: JSON over HTTP on a unix socket, for the daemon's own user and root.

``curl --unix-socket …/control.sock http://imds/v1/status`` works; the paths carry the protocol's version.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiohttp import web

from imds.core.errors import BadRequestError, ConfigError, CredentialsError, RefusedError, RequestError
from imds.core.instances import DEFAULT_INSTANCE
from imds.web.activations import VERBS as ACTIVATION_VERBS
from imds.web.activations import ActivationHandlers
from imds.web.leases import VERBS as LEASE_VERBS
from imds.web.leases import LeaseHandlers
from imds.web.peers import PEER, Peer, body_of, connected_process, mfa_code_of
from imds.web.statuses import STATUSES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from imds.web.activations import ActivationControls, ApprovalControls
    from imds.web.leases import LeaseControls

logger = logging.getLogger(__name__)

MAX_BODY = 64 * 1024


EVERYONE: Final = (
    LEASE_VERBS
    | ACTIVATION_VERBS
    | {
        *("status", "mint", "renew", "revoke", "identity_certificate", "check_session_token"),
    }
)
"""Verbs for whoever sees an instance: what is one's own. All others need ``control: true``."""


class Controls(Protocol):
    """What the daemon lets a user do."""

    async def peer(self, *, uid: int, pid: int | None) -> Peer:
        """Return what the rules give a process.

        Raises:
            RefusedError: nothing.
        """
        ...

    def status(self, peer: Peer) -> dict[str, Any]:
        """Return what ``imds status --json`` prints, as far as ``peer`` may see it."""
        ...

    def is_session_token(self, token: str) -> bool:
        """Whether a session token is one of this daemon's."""
        ...

    async def explain(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return which rule decides for a process or an address, and why.

        Raises:
            BadRequestError: the question names neither.
        """
        ...

    async def reload(self) -> dict[str, Any]:
        """Read the configuration again.

        Raises:
            ConfigError: it is wrong; nothing has changed.
        """
        ...

    def use(self, role: str, instance: str) -> dict[str, Any]:
        """Let an instance list another of its roles.

        Raises:
            RequestError: there is no such instance, or it does not allow this role.
        """
        ...

    async def refresh(self, role: str | None) -> dict[str, Any]:
        """Renew the session of a role, or of all, now; return how they are then.

        Raises:
            RequestError: there is no such role.
        """
        ...

    def simulated(self) -> dict[str, Any]:
        """Return what is simulated, by instance."""
        ...

    def simulate(self, events: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a client sent
        """Add events to timelines: all, or none.

        Raises:
            BadRequestError: one is wrong.
        """
        ...

    def clear_simulated(self, *, kind: str | None, instance: str | None) -> None:
        """Forget simulated events.

        Raises:
            BadRequestError: there is no such kind or instance.
        """
        ...

    async def identity_certificate(self) -> dict[str, Any]:
        """Return the certificate of the key that signs identity documents."""
        ...

    async def give_mfa_code(self, role: str, code: str) -> dict[str, Any]:
        """Try an MFA code for the source of a role.

        Raises:
            CredentialsError: AWS does not take it.
        """
        ...

    async def mint(self, peer: Peer, *, role: str | None, ttl: timedelta) -> dict[str, Any]:
        """Return a new container token of ``peer`` and what a client needs to use it."""
        ...

    async def renew(self, peer: Peer, token_id: str, *, ttl: timedelta) -> dict[str, Any]:
        """Let a token of ``peer`` live on."""
        ...

    async def revoke(self, peer: Peer, token_id: str) -> None:
        """End a token of ``peer``."""
        ...


def control_application(
    controls: Controls,
    leases: LeaseControls,
    activations: ActivationControls,
    approvals: ApprovalControls,
    *,
    allowed_uids: frozenset[int] | None,
) -> web.Application:
    """Return the application of the control socket."""
    handlers = _Handlers(controls)
    app = web.Application(client_max_size=MAX_BODY, middlewares=[_errors, _peer_check(controls, allowed_uids)])
    app.add_routes(
        [
            web.get("/v1/status", handlers.status),
            web.post("/v1/reload", handlers.reload),
            web.post("/v1/explain", handlers.explain),
            web.post("/v1/session-tokens/check", handlers.check_session_token),
            web.post("/v1/roles/{role}/mfa", handlers.mfa),
            web.post("/v1/use", handlers.use),
            web.post("/v1/refresh", handlers.refresh),
            web.get("/v1/simulations", handlers.simulated),
            web.post("/v1/simulations", handlers.simulate),
            web.post("/v1/simulations/clear", handlers.clear_simulated),
            web.get("/v1/identity-certificate", handlers.identity_certificate),
            web.post("/v1/container-tokens", handlers.mint),
            web.post("/v1/container-tokens/{id}/renew", handlers.renew),
            web.delete("/v1/container-tokens/{id}", handlers.revoke),
            *LeaseHandlers(leases).routes(),
            *ActivationHandlers(activations, approvals).routes(),
        ]
    )
    return app


class _Handlers:
    def __init__(self, controls: Controls) -> None:
        self._controls = controls

    async def status(self, request: web.Request) -> web.Response:
        return web.json_response(self._controls.status(request[PEER]))

    async def check_session_token(self, request: web.Request) -> web.Response:
        token = (await body_of(request)).get("token")
        if not isinstance(token, str):
            raise BadRequestError("token must be a string")
        return web.json_response({"ours": self._controls.is_session_token(token)})

    async def explain(self, request: web.Request) -> web.Response:
        return web.json_response(await self._controls.explain(await body_of(request)))

    async def reload(self, _request: web.Request) -> web.Response:
        return web.json_response(await self._controls.reload())

    async def mfa(self, request: web.Request) -> web.Response:
        code = mfa_code_of(await body_of(request))
        return web.json_response(await self._controls.give_mfa_code(request.match_info["role"], code))

    async def use(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        role, instance = body.get("role"), body.get("instance", DEFAULT_INSTANCE)
        if not isinstance(role, str) or not isinstance(instance, str):
            raise BadRequestError("role and instance must be strings")
        return web.json_response(self._controls.use(role, instance))

    async def refresh(self, request: web.Request) -> web.Response:
        role = (await body_of(request)).get("role")
        if not isinstance(role, str | None):
            raise BadRequestError("role must be a string")
        return web.json_response(await self._controls.refresh(role))

    async def simulated(self, _request: web.Request) -> web.Response:
        return web.json_response(self._controls.simulated())

    async def simulate(self, request: web.Request) -> web.Response:
        return web.json_response(self._controls.simulate((await body_of(request)).get("events")), status=201)

    async def clear_simulated(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        kind, instance = body.get("event"), body.get("instance")
        if not isinstance(kind, str | None) or not isinstance(instance, str | None):
            raise BadRequestError("event and instance must be strings")
        self._controls.clear_simulated(kind=kind, instance=instance)
        return web.json_response({})

    async def identity_certificate(self, _request: web.Request) -> web.Response:
        return web.json_response(await self._controls.identity_certificate())

    async def mint(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        role = body.get("role")
        if role is not None and not isinstance(role, str):
            raise BadRequestError("role must be a string")
        return web.json_response(await self._controls.mint(request[PEER], role=role, ttl=_ttl(body)), status=201)

    async def renew(self, request: web.Request) -> web.Response:
        ttl = _ttl(await body_of(request))
        return web.json_response(await self._controls.renew(request[PEER], request.match_info["id"], ttl=ttl))

    async def revoke(self, request: web.Request) -> web.Response:
        await self._controls.revoke(request[PEER], request.match_info["id"])
        return web.json_response({})


def _peer_check(controls: Controls, allowed_uids: frozenset[int] | None) -> Any:  # noqa: ANN401 - aiohttp's middleware type is private
    """Refuse whoever is neither the daemon's user nor root, and whatever the rules do not give a process of theirs."""

    @web.middleware
    async def check(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        with connected_process(request) as process:
            uid = process.uid
            if allowed_uids is not None and uid not in allowed_uids:
                raise RefusedError(f"uid {uid} may not use this control socket")
            peer = await controls.peer(uid=uid, pid=process.pid)
            if process.pid is not None and process.ended:  # what its number names may have been another
                peer = await controls.peer(uid=uid, pid=None)
        request[PEER] = peer
        verb = getattr(handler, "__name__", "")
        if not peer.control and verb not in EVERYONE:
            instance = peer.instance.name if peer.instance else "none"
            raise RefusedError(
                f"instance {instance} may not control the daemon (control: true would let the daemon's own user)"
            )
        return await handler(request)

    return check


@web.middleware
async def _errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer errors as JSON: ``{"error": text, "problems": […]}``."""
    try:
        return await handler(request)
    except RequestError as error:
        return web.json_response({"error": str(error)}, status=STATUSES[type(error)])
    except CredentialsError as error:
        return web.json_response({"error": str(error)}, status=409)
    except ConfigError as error:
        problems = [str(problem) for problem in error.problems]
        return web.json_response({"error": "the configuration is wrong", "problems": problems}, status=422)
    except web.HTTPException as error:
        return web.json_response({"error": error.reason}, status=error.status)
    except Exception:
        logger.exception("unexpected failure of the control socket")
        return web.json_response({"error": "a mistake of ours: the daemon's log has it"}, status=500)


def _ttl(body: dict[str, Any]) -> timedelta:
    seconds = body.get("ttl", 12 * 3600)
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 0 < seconds <= 7 * 86400:
        raise BadRequestError("ttl must be a whole number of seconds, 7 days at most")
    return timedelta(seconds=seconds)
