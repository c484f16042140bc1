"""Container credentials, as ECS and EKS Pod Identity give them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from imds.conformance import sources
from imds.conformance.reading import document, seconds_left, texts
from imds.conformance.rule import BrokenError, SkippedError, Theme, require
from imds.conformance.wire import NoAnswerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.conformance.target import Container, Target
    from imds.conformance.wire import Reply

THEME = Theme(name="container", title="container credentials")
must, should = THEME.must, THEME.should

OK, BAD, FORBIDDEN, SERVER_ERROR = 200, 400, 403, 500
WHAT = "the container document"
FIELDS = ("AccessKeyId", "SecretAccessKey", "Token", "Expiration")
MOST = 10_000
"""Bytes; awscrt takes no more."""


@must("container-document", "The credentials are an object of JSON whose fields are texts.", sources.CONTAINERS)
def _document(target: Target) -> None:
    reply = _get(target)
    require(reply.status == OK, reply, "200")
    texts(document(reply, what=WHAT), *FIELDS, what=WHAT)


@must(
    "container-time", "Expiration is in UTC with whole seconds and a Z, and to come.", f"aws-sdk-js-v3; {sources.MINIO}"
)
def _time(target: Target) -> None:
    left = seconds_left(_fields(target), what=WHAT)
    require(left > 0, f"expired {-left:.0f} s ago", "an Expiration to come")


@should("container-role-arn", "RoleArn names the role.", f"{sources.S3FS}, fails without it; {sources.ECS_AGENT}")
def _role_arn(target: Target) -> None:
    arn = str(_fields(target).get("RoleArn"))
    require(re.match(r"arn:aws[a-z-]*:(?:iam|sts)::\d{12}:", arn), f"RoleArn {arn!r}", "the ARN of a role")


@should("container-account", "AccountId is the account, where it is there.", f"{sources.BOTOCORE}; {sources.GO}")
def _account(target: Target) -> None:
    account = _fields(target).get("AccountId")
    if account is None:
        raise SkippedError("it is not there")
    require(isinstance(account, str) and re.fullmatch(r"\d{12}", account), "an AccountId that is none", "twelve digits")


@must("container-framing", "An answer has a Content-Length and less than 10,000 bytes.", f"{sources.CRT}: ECS")
def _framing(target: Target) -> None:
    reply = _get(target)
    length = reply.header("Content-Length")
    fine = length == str(len(reply.framed)) and len(reply.framed) < MOST
    require(fine, f"Content-Length: {length}, {len(reply.framed)} bytes", "Content-Length, less than 10,000 bytes")


@should("container-content-type", "Credentials are application/json, without a charset.", sources.ECS_AGENT)
def _content_type(target: Target) -> None:
    kind = _get(target).header("Content-Type")
    require(kind == "application/json", f"Content-Type: {kind}", "Content-Type: application/json")


@must("container-no-token", "Without its authorization token nothing is given.", sources.CONTAINERS)
def _no_token(target: Target) -> None:
    _with_token(target)
    reply = _get(target, without_token=True)
    require(BAD <= reply.status < SERVER_ERROR, reply, "400, 401 or 403")


@must("container-wrong-token", "With a wrong authorization token nothing is given.", sources.CONTAINERS)
def _wrong_token(target: Target) -> None:
    token = _with_token(target)
    for wrong in {"wrong", "", token[:-1], f"{token}x", token.swapcase(), "é"} - {token}:
        reply = _get(target, {"Authorization": wrong})
        require(BAD <= reply.status < SERVER_ERROR, f"a token of {len(wrong)} characters: {reply}", "400, 401 or 403")


@should("container-errors", "An error is JSON with code and message, as application/json exactly.", f"{sources.GO}")
def _errors(target: Target) -> None:
    _with_token(target)
    reply = _get(target, {"Authorization": "wrong"})
    kind = reply.header("Content-Type")
    require(kind == "application/json", f"Content-Type: {kind}", "Content-Type: application/json")
    texts(document(reply, what="an error"), "code", "message", what="an error")


@must("container-unknown-path", "Another path gives nothing.", sources.ECS_AGENT)
def _unknown_path(target: Target) -> None:
    reply = _get(target, path=f"{_container(target).path.rstrip('/')}/no-such-thing")
    require(BAD <= reply.status < SERVER_ERROR, reply, "404")


@should("container-slashes", "Runs of slashes in the path count as one.", "paws joins host and path with one too many")
def _slashes(target: Target) -> None:
    reply = _get(target, path=f"/{_container(target).path}")
    require(reply.status == OK, reply, "200")


@must("container-repeated", "A connection that is kept open answers again; one that is not says so.", "RFC 9112, 9.3")
def _repeated(target: Target) -> None:
    reply = _get(target)
    said = (reply.header("Connection") or "").lower()
    if said == "close":
        return
    again = _get(target, to_the_end=True, patience=0.2)
    require(not again.closed, "no Connection: close, and it is closed at once", "Connection: close, or kept open")


@should("container-methods", "Other methods are told 405.", "RFC 9110, 15.5.6")
def _methods(target: Target) -> None:
    for method in ("POST", "PUT", "DELETE"):
        reply = _get(target, method=method)
        require(reply.status == 405, f"{method}: {reply}", "405")  # noqa: PLR2004 - as it says


@should("container-web", "Proxies, web pages and names that are rebound are refused.", sources.REBINDING)
def _web(target: Target) -> None:
    for headers in (
        {"X-Forwarded-For": "203.0.113.7"},
        {"Origin": "http://example.com"},
        {"Referer": "http://example.com/"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "example.com"},
    ):
        reply = _get(target, headers)
        name, value = next(iter(headers.items()))
        require(reply.status == FORBIDDEN, f"{name}: {value}: {reply}", "403")


@must("container-no-cors", "No answer lets web pages read it.", sources.REBINDING)
def _no_cors(target: Target) -> None:
    for headers in ({}, {"Origin": "http://example.com"}):
        for name, value in _get(target, headers).headers:
            require(
                not name.lower().startswith("access-control-allow"), f"{name}: {value}", "no Access-Control-Allow-…"
            )


def _container(target: Target) -> Container:
    if target.container is None:
        raise SkippedError("--container-credentials names none")
    return target.container


def _with_token(target: Target) -> str:
    token = _container(target).token
    if not token:
        raise SkippedError("no authorization token was given")
    return token


def _get(
    target: Target,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "GET",
    path: str | None = None,
    without_token: bool = False,
    **how: Any,  # noqa: ANN401 - as ask has them
) -> Reply:
    """Ask for the credentials, with the token unless told otherwise."""
    container = _container(target)
    token = {"Authorization": container.token} if container.token and not without_token else {}
    sent = {"Host": container.endpoint.authority, **token, **(headers or {})}
    return target.ask(container.endpoint, method, path or container.path, sent, **how)


def _fields(target: Target) -> dict[str, Any]:
    try:
        reply = _get(target)
        if reply.status != OK:
            raise SkippedError("no credentials are given")
        return document(reply, what=WHAT)
    except (BrokenError, NoAnswerError) as error:
        raise SkippedError("there is no document") from error
