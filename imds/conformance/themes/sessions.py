"""What a session token opens, and what happens without one."""

from __future__ import annotations

import time

from imds.conformance import sources
from imds.conformance.rule import SkippedError, Theme, require
from imds.conformance.target import META_DATA, OPTIONAL, REQUIRED, ROLES, TOKEN_HEADER, TTL_HEADER, Target

THEME = Theme(name="sessions", title="session tokens in use, and IMDSv1")
must, should = THEME.must, THEME.should

OK, UNAUTHORIZED = 200, 401
EVERYWHERE = ("/", "/latest/", META_DATA, ROLES, "/latest/no-such-thing")
SHORT = 1
"""Seconds; the shortest TTL."""

GRACE = 1.5
"""Seconds by which a server that counts whole ones may be late."""


@must("get-with-token", "A GET with a session token is answered.", sources.USING)
def _with_token(target: Target) -> None:
    reply = target.request("GET", META_DATA, {TOKEN_HEADER: target.needed_token})
    require(reply.status == OK, reply, "200")


@must("get-token-reused", "A session token is good for any number of requests.", sources.USING)
def _reused(target: Target) -> None:
    for _ in range(5):
        reply = target.request("GET", META_DATA, {TOKEN_HEADER: target.needed_token})
        require(reply.status == OK, reply, "200 each time")


@must("get-token-header-case", "The token header's name has no case.", "RFC 9110, 5.1")
def _header_case(target: Target) -> None:
    for name in (TOKEN_HEADER.lower(), TOKEN_HEADER.upper()):
        reply = target.request("GET", META_DATA, {name: target.needed_token})
        require(reply.status == OK, f"{name}: {reply}", "200")


@must("get-invalid-token", "A wrong session token is answered with 401, whatever http_tokens is.", sources.FLUENT_BIT)
def _invalid(target: Target) -> None:
    for name, token in _wrong(target).items():
        reply = target.request("GET", META_DATA, {TOKEN_HEADER: token})
        require(reply.status == UNAUTHORIZED, f"{name} token: {reply}", "401")


@must("get-invalid-token-everywhere", "It is 401 on every path, whether there is anything or not.", sources.FLUENT_BIT)
def _invalid_everywhere(target: Target) -> None:
    for path in EVERYWHERE:
        for name, token in _wrong(target).items():
            reply = target.request("GET", path, {TOKEN_HEADER: token})
            require(reply.status == UNAUTHORIZED, f"{path} with {name} token: {reply}", "401")


@must(
    "get-without-token", "Without a token every path is 401 where tokens are required, and answers else.", sources.USING
)
def _without(target: Target) -> None:
    required = target.http_tokens == REQUIRED
    for path in EVERYWHERE:
        reply = target.request("GET", path)
        seen = f"{path} without a token: {reply}"
        if required:
            require(reply.status == UNAUTHORIZED, seen, f"401, as {META_DATA}")
        else:
            require(reply.status != UNAUTHORIZED, seen, f"no 401, as {META_DATA} needs no token")


@must("http-tokens", "http_tokens is as it is meant to be (--http-tokens).", sources.USING)
def _http_tokens(target: Target) -> None:
    if target.declared is None:
        raise SkippedError("--http-tokens does not say what it is meant to be")
    require(target.http_tokens == target.declared, target.http_tokens, target.declared)


@must("get-expired-token", "An expired session token is answered with 401.", sources.USING, slow=True)
def _expired(target: Target) -> None:
    reply = target.put_token(str(SHORT))
    if reply.status != OK:
        raise SkippedError("no token is given")
    time.sleep(SHORT + GRACE)
    late = target.request("GET", META_DATA, {TOKEN_HEADER: reply.text.strip()})
    require(late.status == UNAUTHORIZED, f"{SHORT + GRACE} s after a token of {SHORT} s was given: {late}", "401")


@should("unauthorized-empty", "A 401 has an empty body and is text/plain.", sources.CAPTURE)
def _empty(target: Target) -> None:
    reply = target.request("GET", META_DATA, {TOKEN_HEADER: "garbage"})
    if reply.status != UNAUTHORIZED:
        raise SkippedError("a wrong token is not answered with 401")
    require((reply.body, reply.header("Content-Type")) == (b"", "text/plain"), reply, "401, text/plain, empty")


@should("get-remaining-ttl", "An answer tells how many seconds the token that was sent has left.", sources.CAPTURE)
def _remaining(target: Target) -> None:
    told = target.request("GET", META_DATA, {TOKEN_HEADER: target.needed_token}).header(TTL_HEADER)
    fine = told is not None and told.isascii() and told.isdigit() and 0 < int(told) <= 21600  # noqa: PLR2004
    require(fine, f"{TTL_HEADER}: {told}", f"{TTL_HEADER}: 1 to 21600")


@should("get-no-ttl-without-token", "Without a token an answer tells no TTL.", sources.CAPTURE)
def _no_ttl(target: Target) -> None:
    if target.http_tokens != OPTIONAL:
        raise SkippedError("tokens are required")
    told = target.request("GET", META_DATA).header(TTL_HEADER)
    require(told is None, f"{TTL_HEADER}: {told}", f"no {TTL_HEADER}")


def _wrong(target: Target) -> dict[str, str]:
    """Return wrong tokens by what is wrong with them."""
    wrong = {"a garbage": "garbage", "an empty": "", "an invented": "AQAEA" + "x" * 49 + "=="}
    if target.token is not None and len(target.token) > 24:  # noqa: PLR2004 - long enough to have a middle
        middle = len(target.token) // 2
        letter = "B" if target.token[middle] == "A" else "A"
        wrong["an altered"] = target.token[:middle] + letter + target.token[middle + 1 :]
        wrong["a shortened"] = target.token[:-8]
    return wrong
