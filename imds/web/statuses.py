"""The one table from our errors to what a client sees."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imds.core import errors
from imds.web import answer, documents

if TYPE_CHECKING:
    from imds.web.answer import Answer

STATUSES: dict[type[errors.RequestError], int] = {
    errors.BadRequestError: 400,
    errors.TokenError: 401,
    errors.RefusedError: 403,
    errors.NoSuchPathError: 404,
    errors.CredentialsUnavailableError: 404,
    errors.MethodError: 405,
    errors.TooManyRequestsError: 503,  # as EC2 does, and every SDK tries again
    errors.CredentialsNotReadyError: 503,
    errors.ThrottledError: 429,
}

CONTAINER_CODES = {
    400: "InvalidRequest",
    401: "Unauthorized",
    403: "AccessDenied",
    404: "NotFound",
    405: "MethodNotAllowed",
    429: "TooManyRequests",
    503: "CredentialsUninitialized",
}
"""Error codes of the container-credentials endpoint; the last is ECS's own."""

CONTAINER_MESSAGES = {
    400: "the request is malformed",
    401: "the Authorization header opens nothing here",
    403: "this caller gets nothing here",
    404: "no such path, or no credentials until a person acts: see `imds status`",
    405: "only GET",
    429: "too many requests; try again in a moment",
    503: "no credentials yet; try again in a moment",
}


def metadata_error(error: errors.RequestError) -> Answer:
    """Return the answer of the metadata service for ``error``."""
    status = STATUSES[type(error)]
    if status == STATUSES[errors.NoSuchPathError]:
        return answer.not_found(because=str(error))
    allow = error.allow if isinstance(error, errors.MethodError) else None
    return answer.empty(status, allow=allow, because=str(error))


def container_error(error: errors.RequestError) -> Answer:
    """Return the answer of the container-credentials endpoint for ``error``."""
    status = STATUSES[type(error)]
    body = documents.container_error(CONTAINER_CODES[status], CONTAINER_MESSAGES[status])
    document = answer.json_document(body, status=status, because=str(error))
    # whoever may have nothing must not hold connections that others need
    return replace(document, keep_alive=False) if isinstance(error, errors.RefusedError) else document
