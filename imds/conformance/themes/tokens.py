"""Session tokens: ``PUT /latest/api/token``."""

from __future__ import annotations

import re

from imds.conformance import sources
from imds.conformance.rule import SkippedError, Theme, require
from imds.conformance.target import TOKEN_HEADER, TOKEN_PATH, TTL_HEADER, Target

THEME = Theme(name="tokens", title="session tokens (PUT /latest/api/token)")
must, should = THEME.must, THEME.should

GOOD, BAD, FORBIDDEN, NOT_ALLOWED = 200, 400, 403, 405
SHAPE = re.compile(r"[A-Za-z0-9_-]{54}==")
MALFORMED = ("", " ", "-1", "60.0", "0x3c", "sixty", "60s", "60 60")
METHODS = ("GET", "HEAD", "POST", "DELETE")
NOT_GIVEN = "400, and no token"


def _refused(target: Target, *ttls: str | None, status: int = BAD, expected: str = NOT_GIVEN) -> None:
    for ttl in ttls:
        reply = target.put_token(ttl)
        require(reply.status == status, f"TTL {ttl!r}: {reply}", expected)


@must("token-issued", "A PUT with a TTL gets a session token.", sources.USING)
def _issued(target: Target) -> None:
    reply = target.put_token("21600")
    require(reply.status == GOOD and reply.body.strip(), reply, "200 and a token")


@must(
    "token-bare", "A token has no line end, quotes or blanks around it: it is sent back as a header.", sources.BOTOCORE
)
def _bare(target: Target) -> None:
    text = _given(target).decode("latin-1")
    fine = text.isascii() and text.isprintable() and not set(text) & set(" \"'")
    require(fine, f"{len(text)} characters, not all of them of a header's value", "visible ASCII, no blanks or quotes")


@should("token-shape", "A token is 56 characters of URL-safe base64.", sources.CAPTURE)
def _shape(target: Target) -> None:
    text = _given(target).decode("latin-1").strip()
    require(SHAPE.fullmatch(text), f"{len(text)} characters", "56 characters of URL-safe base64, with ==")


@must("token-ttl-told", "A token's answer tells its TTL as a bare integer.", f"{sources.GO}; {sources.RUST}")
def _ttl_told(target: Target) -> None:
    for ttl in ("60", "21600"):
        reply = target.put_token(ttl)
        _given_by(reply.status)
        told = reply.header(TTL_HEADER)
        require(
            told == ttl, f"{TTL_HEADER}: {told}" if told is not None else f"no {TTL_HEADER}", f"{TTL_HEADER}: {ttl}"
        )


@must(
    "token-ttl-range", "Every TTL from 1 second to six hours is granted.", f"{sources.USING}; GDAL asks for 10 seconds"
)
def _ttl_range(target: Target) -> None:
    for ttl in ("1", "5", "10", "60", "300", "600", "21600"):
        reply = target.put_token(ttl)
        require(reply.status == GOOD, f"TTL {ttl}: {reply}", "200 and a token")


@must("token-ttl-zero", "A TTL of 0 is refused.", sources.USING)
def _ttl_zero(target: Target) -> None:
    _refused(target, "0")


@must("token-ttl-too-long", "A TTL of more than six hours is refused.", sources.USING)
def _ttl_too_long(target: Target) -> None:
    _refused(target, "21601", "99999", "9" * 40)


@must("token-ttl-missing", "A PUT without a TTL is refused.", sources.USING)
def _ttl_missing(target: Target) -> None:
    _refused(target, None)


@must("token-ttl-malformed", "A TTL that is no plain integer is refused.", sources.USING)
def _ttl_malformed(target: Target) -> None:
    _refused(target, *MALFORMED)


@should("token-ttl-blanks", "Blanks around a TTL do not matter.", "RFC 9110, 5.5")
def _ttl_blanks(target: Target) -> None:
    reply = target.put_token("  60 ")
    require(reply.status == GOOD, reply, "200 and a token")


@must("token-header-case", "The TTL header's name has no case.", "RFC 9110, 5.1; it varies from client to client")
def _header_case(target: Target) -> None:
    for name in (TTL_HEADER.lower(), TTL_HEADER.upper()):
        reply = target.request("PUT", TOKEN_PATH, {name: "60"})
        require(reply.status == GOOD, f"{name}: {reply}", "200 and a token")


@must("token-body-optional", "A PUT needs neither Content-Length nor a body, and may have either.", sources.CRT)
def _body_optional(target: Target) -> None:
    for headers in (
        {},
        {"Content-Length": "0", "Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Length": "0", "Accept-Encoding": "gzip", "Amz-Sdk-Request": "attempt=1", "Accept": "*/*"},
    ):
        reply = target.put_token("60", headers)
        require(reply.status == GOOD, f"{headers or 'no Content-Length'}: {reply}", "200 and a token")
    with_body = target.request("PUT", TOKEN_PATH, {TTL_HEADER: "60", "Content-Length": "5"}, body=b"hello")
    require(with_body.status == GOOD, f"a body: {with_body}", "200 and a token")


@should("token-body-chunked", "A PUT may have an empty body in chunks.", sources.OBJECT_STORE)
def _body_chunked(target: Target) -> None:
    headers = {TTL_HEADER: "60", "Transfer-Encoding": "chunked"}
    reply = target.request("PUT", TOKEN_PATH, headers, body=b"0\r\n\r\n")
    require(reply.status == GOOD, reply, "200 and a token")


@must("token-expect", "A PUT that expects 100-continue is not kept waiting.", f"{sources.S3FS}, issue 1765")
def _expect(target: Target) -> None:
    reply = target.put_token("60", {"Expect": "100-continue"})
    require(reply.status in (GOOD, 417), reply, "200 and a token, or 417 as EC2")


@must("token-with-token", "A PUT is answered whatever session token it carries.", sources.SDKS)
def _with_token(target: Target) -> None:
    for sent in ("garbage", target.token):
        reply = target.put_token("60", {TOKEN_HEADER: sent or ""})
        require(reply.status == GOOD, reply, "200 and a token")


@must("token-path-slashes", "Runs of slashes in the path count as one.", "aws-sdk-js-v3, ec2-metadata-service")
def _slashes(target: Target) -> None:
    for path in ("//latest/api/token", "/latest//api///token"):
        reply = target.request("PUT", path, {TTL_HEADER: "60"})
        require(reply.status == GOOD, f"{path}: {reply}", "200 and a token")


@must("token-forwarded", "A PUT with X-Forwarded-For is refused with 403.", sources.USING)
def _forwarded(target: Target) -> None:
    for address in ("203.0.113.7", "127.0.0.1", ""):
        reply = target.put_token("60", {"X-Forwarded-For": address})
        require(reply.status == FORBIDDEN, f"X-Forwarded-For {address!r}: {reply}", "403")


@should("token-dated-path", "Tokens are given at /latest only; a dated path is refused with 403.", sources.USING)
def _dated_path(target: Target) -> None:
    reply = target.request("PUT", "/2021-03-23/api/token", {TTL_HEADER: "60"})
    require(reply.status == FORBIDDEN, reply, "403")


@must("token-put-only", "No other method gets a token.", sources.CAPTURE)
def _put_only(target: Target) -> None:
    for method in METHODS:
        reply = target.request(method, TOKEN_PATH, {TTL_HEADER: "60"})
        require(reply.status >= BAD, f"{method}: {reply}", "405")


@should("token-methods", "Another method is told 405 and which are allowed; OPTIONS too.", sources.CAPTURE)
def _methods(target: Target) -> None:
    for method, status in (*((method, NOT_ALLOWED) for method in METHODS), ("OPTIONS", GOOD)):
        reply = target.request(method, TOKEN_PATH)
        seen = f"{method}: {reply}, Allow: {reply.header('Allow')}"
        require(
            (reply.status, reply.header("Allow")) == (status, "OPTIONS, PUT"), seen, f"{status}, Allow: OPTIONS, PUT"
        )


@should("token-put-elsewhere", "A PUT on another path is told 405.", sources.OURS)
def _elsewhere(target: Target) -> None:
    reply = target.get("/latest/meta-data/", {TTL_HEADER: "60"}, method="PUT")
    require(reply.status == NOT_ALLOWED, reply, "405")


@must("token-many", "Many tokens are good at once: a new one ends no other.", sources.USING)
def _many(target: Target) -> None:
    first = target.needed_token
    for _ in range(20):
        target.put_token("60")
    reply = target.request("GET", "/latest/meta-data/", {TOKEN_HEADER: first})
    require(reply.status == GOOD, f"the first of 21 tokens: {reply}", "200")


def _given(target: Target) -> bytes:
    reply = target.put_token("21600")
    _given_by(reply.status)
    return reply.body


def _given_by(status: int) -> None:
    if status != GOOD:
        raise SkippedError("no token is given")
