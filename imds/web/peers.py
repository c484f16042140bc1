"""Who is at the other end of the control socket, and what they sent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from imds.core.errors import BadRequestError

if TYPE_CHECKING:
    from imds.core.callers import Caller
    from imds.core.instances import Instance


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
