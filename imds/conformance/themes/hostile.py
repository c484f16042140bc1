"""What no client means to send, and clients in numbers: nobody else must notice."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from imds.conformance import sources
from imds.conformance.rule import BrokenError, Theme, require
from imds.conformance.target import META_DATA, TTL_HEADER, Target
from imds.conformance.wire import NoAnswerError, receive, request_bytes, send

if TYPE_CHECKING:
    import socket

THEME = Theme(name="hostile", title="malformed requests and many clients")
must, should = THEME.must, THEME.should

OK, BAD, SERVER_ERROR = 200, 400, 500
PUT = f"PUT /latest/api/token HTTP/1.1\r\nHost: 127.0.0.1\r\n{TTL_HEADER}: 60\r\n".encode()
GET = b"GET /latest/meta-data/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
SOON = 1.0
"""Seconds for an answer to what is no request; none is as good."""

LONGEST = 30.0
"""Seconds that an unfinished request may last."""

CLIENTS = 64

NOT_REQUESTS = {
    "no target": b"GET  HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "no slash": b"GET latest HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "half a URL": b"GET http://[::1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "no version": b"GET /latest/meta-data/\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "TLS": bytes.fromhex("16030100a5010000a10303") + bytes(range(160)),
    "SSH": b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
    "CONNECT": b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "NUL in the target": b"GET /latest/\0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "NUL in a header": GET + b"X: a\0b\r\n\r\n",
    "a header without a colon": GET + b"nonsense\r\n\r\n",
    "a blank before the colon": GET + b"X : a\r\n\r\n",
    "Content-Length of -1": PUT + b"Content-Length: -1\r\n\r\n",
    "a huge Content-Length": PUT + b"Content-Length: 99999999999999999999999999\r\n\r\n",
    "a chunk size that is none": PUT + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "text that is not ASCII": "GET /läst/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode("latin-1"),
}
OVERSIZE = {
    "a target": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a header": GET + b"A: " + b"b" * 70_000 + b"\r\n\r\n",
    "two thousand headers": GET + b"".join(b"X-%d: y\r\n" % n for n in range(2000)) + b"\r\n",
    "a line without end": b"x" * 200_000,
}
AMBIGUOUS = {
    "both framings": PUT + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two Content-Lengths": PUT + b"Content-Length: 0\r\nContent-Length: 30\r\n\r\n" + GET[:30],
    "chunked in disguise": PUT + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "chunked twice over": PUT + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
}


def _answer(target: Target, data: bytes) -> bytes:
    """Return what comes for ``data`` until the end, or soon; nothing is a fine answer."""
    with suppress(NoAnswerError):
        return target.send(data, to_the_end=True, half_close=True, patience=SOON, path="/api/token").raw
    return b""


def _alive(target: Target, after: str) -> None:
    try:
        reply = target.get(META_DATA)
    except NoAnswerError as error:
        raise BrokenError(f"after {after}: {error}", "200 for the next client") from error
    require(reply.status == OK, f"after {after}: {reply}", "200 for the next client")


def _status(raw: bytes) -> int:
    parts = raw.split(b" ", 2)
    return int(parts[1]) if len(parts) > 1 and parts[1][:3].isdigit() and parts[0].startswith(b"HTTP/1") else 0


@must("malformed", "What is no request is no server error, and the next client is answered.", sources.ABUSE)
def _malformed(target: Target) -> None:
    for name, data in NOT_REQUESTS.items():
        status = _status(_answer(target, data))
        require(status < SERVER_ERROR, f"{name}: {status}", "400, or the connection is closed")
    _alive(target, "malformed requests")


@should("malformed-refused", "What is no request is refused.", sources.ABUSE)
def _malformed_refused(target: Target) -> None:
    for name, data in NOT_REQUESTS.items():
        status = _status(_answer(target, data))
        require(status == 0 or status >= BAD, f"{name}: {status}", "400, or the connection is closed")


@must("oversize", "What is far too large is refused or cut off, and the next client is answered.", sources.ABUSE)
def _oversize(target: Target) -> None:
    for name, data in OVERSIZE.items():
        status = _status(_answer(target, data))
        require(status == 0 or BAD <= status < SERVER_ERROR, f"{name}: {status}", "4xx, or the connection is closed")
    _alive(target, "oversize requests")


@must("ambiguous", "A request that two parsers may read in two ways is refused.", "RFC 9112, 6.3 and 11.2: smuggling")
def _ambiguous(target: Target) -> None:
    for name, data in AMBIGUOUS.items():
        raw = _answer(target, data)
        status, answers = _status(raw), raw.count(b"HTTP/1.1 ")
        fine = answers <= 1 and (status == 0 or BAD <= status < SERVER_ERROR)
        require(fine, f"{name}: {status}, {answers} answers", "400, or the connection is closed")


@should("get-body", "A GET with a body is refused, or its body ignored; it is no second request.", "RFC 9110, 9.3.1")
def _get_body(target: Target) -> None:
    inner = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    headers = target.as_client({"Host": target.endpoint.authority, "Content-Length": str(len(inner))})
    raw = _answer(target, request_bytes("GET", META_DATA, headers) + inner)
    answers = raw.count(b"HTTP/1.")
    require(answers == 1 and _status(raw) in (OK, BAD), f"{_status(raw)}, {answers} answers", "one answer, 400 or 200")


@should("pipelining", "What is sent behind a request is not answered: the connection is closed.", sources.CAPTURE)
def _pipelining(target: Target) -> None:
    raw = _answer(target, (PUT + b"\r\n") * 5)
    answers = raw.count(b"HTTP/1.1 ")
    require(answers == 1, f"{answers} answers to five requests in one piece", "one answer, and the connection closed")


@must("idle-clients", "Clients that say nothing keep nobody from an answer.", "Java and Rust keep connections open")
def _idle(target: Target) -> None:
    headers = target.as_client()
    with ExitStack() as stack:
        for _ in range(CLIENTS):
            stack.enter_context(target.endpoint.connect())
        try:
            reply = target.request("GET", META_DATA, headers)
        except NoAnswerError as error:
            raise BrokenError(f"with {CLIENTS} silent clients: {error}", "200") from error
    require(reply.status == OK, f"with {CLIENTS} silent clients: {reply}", "200")


@must("many-clients", "Many clients at once are all answered.", "hosts start hundreds of programs at once")
def _many(target: Target) -> None:
    raw = request_bytes("GET", META_DATA, target.as_client({"Host": target.endpoint.authority}))
    with ExitStack() as stack:
        connected = [stack.enter_context(target.endpoint.connect()) for _ in range(CLIENTS)]
        for client in connected:
            with suppress(ConnectionError):  # it was closed before: that there is no answer says so
                send(client, raw)
        deadline = time.monotonic() + target.endpoint.patience
        for number, client in enumerate(connected, start=1):
            try:
                answer, _ = receive(client, deadline=deadline)
            except NoAnswerError as error:
                raise BrokenError(f"client {number} of {CLIENTS}: {error}", "200 for each") from error
            require(_status(answer) == OK, f"client {number} of {CLIENTS}: {_status(answer)}", "200 for each")


@should(
    "slow-senders",
    "Whoever does not finish a request loses the connection within half a minute.",
    "slowloris",
    slow=True,
)
def _slow(target: Target) -> None:
    unfinished = {
        "nothing": b"",
        "half a line": b"GET /lat",
        "half a head": GET,
        "no body": PUT + b"Content-Length: 9\r\n\r\n",
    }
    with ExitStack() as stack:
        connected = {name: stack.enter_context(target.endpoint.connect()) for name in unfinished}
        for name, client in connected.items():
            with suppress(ConnectionError):
                send(client, unfinished[name])
        deadline = time.monotonic() + LONGEST
        for name, client in connected.items():
            require(_ends(client, deadline), f"{name}: still open after {LONGEST:g} s", "closed")


def _ends(client: socket.socket, deadline: float) -> bool:
    try:
        receive(client, deadline=deadline, to_the_end=True)
    except NoAnswerError as error:
        return not error.late
    return time.monotonic() < deadline
