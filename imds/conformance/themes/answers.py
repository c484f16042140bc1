"""How every answer is written: status line, headers, framing, bodies of errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imds.conformance import sources
from imds.conformance.rule import Theme, require
from imds.conformance.target import META_DATA, ROLES, TOKEN_HEADER, TTL_HEADER, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imds.conformance.wire import Reply

THEME = Theme(name="answers", title="how answers are written")
must, should = THEME.must, THEME.should

OK, BAD, UNAUTHORIZED, NOT_FOUND, NOT_ALLOWED = 200, 400, 401, 404, 405
HTTP_DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
LATE = 0.5
"""Seconds; Go's SDK waits no longer for the head of an answer."""

XHTML = b"""\
<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
\t\t "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>404 - Not Found</title>
 </head>
 <body>
  <h1>404 - Not Found</h1>
 </body>
</html>
"""
NOWHERE = f"{META_DATA}no-such-thing"


def _each(target: Target) -> Iterator[tuple[str, Reply]]:
    """Yield an answer of each kind, and what it answers."""
    yield "a token", target.put_token()
    yield "a token without a TTL", target.put_token(None)
    yield "GET on the token path", target.request("GET", "/latest/api/token")
    yield "a wrong token", target.request("GET", META_DATA, {TOKEN_HEADER: "garbage"})
    yield "a listing", target.get(META_DATA)
    yield "the role", target.get(ROLES)
    yield "what is not there", target.get(NOWHERE)


def _errors(target: Target) -> Iterator[tuple[str, Reply]]:
    for what, reply in _each(target):
        if reply.status >= BAD:
            yield what, reply


@must("status-line", "Every answer is HTTP/1.1 (or 1.0), with a status and its reason.", sources.CAPTURE)
def _status_line(target: Target) -> None:
    for what, reply in _each(target):
        line = reply.head.split("\r\n")[0]
        require(
            re.fullmatch(r"HTTP/1\.[01] [1-5]\d\d [A-Za-z -]+", line), f"{what}: {line!r}", "HTTP/1.1 200 OK, or such"
        )


@must("content-length", "Every answer has a Content-Length, which is that of its body.", sources.CRT)
def _content_length(target: Target) -> None:
    for what, reply in _each(target):
        length = reply.header("Content-Length")
        seen = f"{what}: Content-Length: {length}, {len(reply.framed)} bytes of body"
        require(length == str(len(reply.framed)), seen, "Content-Length: the number of bytes")


@must("no-chunks", "No answer is chunked or compressed, also where a client takes gzip.", "aws-sdk-go, imds; curl")
def _no_chunks(target: Target) -> None:
    for path in (META_DATA, ROLES):
        reply = target.get(path, {"Accept-Encoding": "gzip, deflate, br"})
        for name in ("Transfer-Encoding", "Content-Encoding"):
            require(reply.header(name) is None, f"{path}: {name}: {reply.header(name)}", f"no {name}")


@must("headers-once", "No header stands twice.", "RFC 9110, 5.3")
def _headers_once(target: Target) -> None:
    for what, reply in _each(target):
        names = [name.lower() for name, _ in reply.headers]
        twice = sorted({name for name in names if names.count(name) > 1})
        require(not twice, f"{what}: {', '.join(twice)} twice", "each header once")


@should("connection-close", "Every answer says Connection: close, and the connection is closed.", sources.CAPTURE)
def _connection_close(target: Target) -> None:
    asked = (("PUT", "/latest/api/token", {TTL_HEADER: "60"}), ("GET", META_DATA, {"Connection": "keep-alive"}))
    for method, path, headers in asked:
        sent = headers if method == "PUT" else target.as_client(headers)
        reply = target.request(method, path, sent, to_the_end=True, patience=1.0)
        said = reply.header("Connection")
        seen = f"{method}: Connection: {said}, {'closed' if reply.closed else 'open a second later'}"
        require((said or "").lower() == "close" and reply.closed, seen, "Connection: close, and closed")


@should("server", "Every answer comes from EC2ws.", f"{sources.CAPTURE}; aws-sdk-go-base looks for EC2 in it")
def _server(target: Target) -> None:
    for what, reply in _each(target):
        require(reply.header("Server") == "EC2ws", f"{what}: Server: {reply.header('Server')}", "Server: EC2ws")


@should("date", "Every answer has a Date.", sources.CAPTURE)
def _date(target: Target) -> None:
    for what, reply in _each(target):
        date = reply.header("Date")
        require(HTTP_DATE.fullmatch(date or ""), f"{what}: Date: {date}", "Date: such as Wed, 30 Jul 2025 12:00:00 GMT")


@should("content-type", "Tokens, listings and leaves are text/plain, without a charset.", sources.CAPTURE)
def _content_type(target: Target) -> None:
    for what, reply in _each(target):
        if reply.status == OK:
            kind = reply.header("Content-Type")
            require(kind == "text/plain", f"{what}: Content-Type: {kind}", "Content-Type: text/plain")


@should("resource-headers", "A resource has Accept-Ranges: none and Last-Modified.", sources.CAPTURE)
def _resource_headers(target: Target) -> None:
    reply = target.get(META_DATA)
    if reply.status == OK:
        ranges, modified = reply.header("Accept-Ranges"), reply.header("Last-Modified")
        require(ranges in ("none", "bytes"), f"Accept-Ranges: {ranges}", "Accept-Ranges: none")
        require(HTTP_DATE.fullmatch(modified or ""), f"Last-Modified: {modified}", "Last-Modified: a date")


@should("range-ignored", "A request for a range gets all of it, with 200.", sources.CAPTURE)
def _range_ignored(target: Target) -> None:
    whole = target.get(META_DATA)
    reply = target.get(META_DATA, {"Range": "bytes=0-3"})
    require((reply.status, reply.body) == (whole.status, whole.body), reply, str(whole))


@should("header-case", "Names of headers are written as EC2 writes them.", f"{sources.CAPTURE}; scripts that grep")
def _header_case(target: Target) -> None:
    for what, reply in _each(target):
        for name, _ in reply.headers:
            require(name == name.title(), f"{what}: {name}", name.title())


@should("token-header-order", "A token's headers have EC2's order.", sources.CAPTURE)
def _token_order(target: Target) -> None:
    names = [name.title() for name, _ in target.put_token().headers]
    wanted = [TTL_HEADER.title(), "Content-Length", "Date", "Server", "Connection", "Content-Type"]
    require(names == wanted, ", ".join(names), ", ".join(wanted))


@should("prompt", "An answer takes less than half a second.", f"{sources.GO}: ResponseHeaderTimeout")
def _prompt(target: Target) -> None:
    for path in (META_DATA, ROLES):
        quickest = min(target.get(path).after for _ in range(3))
        require(quickest < LATE, f"{path}: {quickest:.3f} s, the best of three", f"{LATE} s at most")


@must("error-bodies", "An error's body is empty or markup: a word in it is taken for a role's name.", sources.CRT)
def _error_bodies(target: Target) -> None:
    for what, reply in _errors(target):
        body = reply.body.lstrip()
        require(not body or body.startswith(b"<"), f"{what}: {reply}", "an empty body, or EC2's page")


@must("not-found", "What is not there is 404.", sources.RETRIEVING)
def _not_found(target: Target) -> None:
    for path in (NOWHERE, "/latest/no-such-thing", "/latest/meta-data/placement/no-such-thing"):
        reply = target.get(path)
        require(reply.status == NOT_FOUND, f"{path}: {reply}", "404")


@should(
    "not-found-page", "A 404 has EC2's page of 339 bytes as text/html.", "smithy-rs, imds_no_iam_role/http-traffic.json"
)
def _not_found_page(target: Target) -> None:
    reply = target.get(NOWHERE)
    if reply.status == NOT_FOUND:
        kind = reply.header("Content-Type")
        require(
            (reply.body, kind) == (XHTML, "text/html"), f"{reply}, {len(reply.body)} bytes", "EC2's page, text/html"
        )


@must("head", "HEAD has the headers of GET and no body.", sources.RETRIEVING)
def _head(target: Target) -> None:
    for path in (META_DATA, NOWHERE):
        whole = target.get(path)
        reply = target.get(path, method="HEAD")
        same = (reply.status, reply.header("Content-Length"), reply.header("Content-Type")) == (
            whole.status,
            whole.header("Content-Length"),
            whole.header("Content-Type"),
        )
        require(same, f"{path}: {reply.head!r}", f"the headers of GET: {whole.head!r}")
        raw = target.get(path, {"Connection": "close"}, method="HEAD", to_the_end=True, patience=1.0)
        require(not raw.framed, f"{path}: {len(raw.framed)} bytes of body", "no body")


@must("read-only", "Resources are read, not written: other methods get an error.", sources.RETRIEVING)
def _read_only(target: Target) -> None:
    for method in ("POST", "DELETE", "PATCH"):
        reply = target.get(META_DATA, method=method)
        require(BAD <= reply.status < 500, f"{method}: {reply}", "405")  # noqa: PLR2004 - an error of the client's


@should("read-only-methods", "Other methods are told 405, and which are allowed.", "RFC 9110, 15.5.6")
def _read_only_methods(target: Target) -> None:
    for method in ("POST", "PUT", "DELETE"):
        reply = target.get(META_DATA, method=method)
        allow = {name.strip() for name in (reply.header("Allow") or "").split(",")}
        seen = f"{method}: {reply}, Allow: {reply.header('Allow')}"
        require(reply.status == NOT_ALLOWED and {"GET", "HEAD"} <= allow, seen, "405, Allow: GET, HEAD")
