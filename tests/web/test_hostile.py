"""Malformed and hostile requests: never a 5xx, a traceback or a hang, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import wire

from imds.web.connection import MAX_HEAD

AT_ONCE = 40
PATIENCE = 20.0
PUT = b"PUT /latest/api/token HTTP/1.1\r\nHost: 127.0.0.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n"
GET = b"GET /latest/meta-data/iam/security-credentials/app HTTP/1.1\r\nHost: 127.0.0.1\r\n"
HTTP_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
TLS = bytes.fromhex("16030100a5010000a10303") + bytes(range(160))

NAMED = {
    "too long a target": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "too long a header": GET + b"A: " + b"b" * 70_000 + b"\r\n\r\n",
    "too long a header name": GET + b"A" * 70_000 + b": b\r\n\r\n",
    "too long a session token": GET + b"X-aws-ec2-metadata-token: " + b"A" * 8000 + b"\r\n\r\n",
    "two thousand headers": GET + b"".join(b"X-%d: y\r\n" % n for n in range(2000)) + b"\r\n",
    "a hundred headers": GET + b"".join(b"X-%d: y\r\n" % n for n in range(100)) + b"\r\n",
    "sixty thousand times one header": GET + b"X: \r\n" * 60_000 + b"\r\n",
    "a megabyte without a line": b"x" * 1_000_000,
    "a method without end": b"A" * 100_000,
    "blank lines without end": b"\r\n" * 50_000,
    "TE and CL": GET + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "CL and TE": PUT + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "CL twice": PUT + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
    "CL twice the same": PUT + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "CL list": PUT + b"Content-Length: 5, 5\r\n\r\nhello",
    "CL negative": PUT + b"Content-Length: -1\r\n\r\n",
    "CL with plus": PUT + b"Content-Length: +5\r\n\r\nhello",
    "CL hexadecimal": PUT + b"Content-Length: 0x5\r\n\r\nhello",
    "CL huge": PUT + b"Content-Length: 99999999999999999999999999\r\n\r\n",
    "CL not a number": PUT + b"Content-Length: five\r\n\r\n",
    "TE unknown": PUT + b"Transfer-Encoding: gzip\r\n\r\n",
    "TE twice": PUT + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "TE disguised": PUT + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "TE vertical tab": PUT + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "TE in HTTP/1.0": PUT.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk size wrong": PUT + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "chunk size huge": PUT + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    "chunk without end": PUT + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX",
    "compressed nonsense": PUT + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    "bare LF": GET.replace(b"\r\n", b"\n") + b"\n",
    "bare CR": GET.replace(b"\r\n", b"\r") + b"\r",
    "mixed line ends": GET.replace(b"\r\n", b"\n", 1) + b"\r\n",
    "NUL in the target": b"GET /latest/\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "NUL in a header": GET + b"X: a\0b\r\n\r\n",
    "NUL in the token": GET + b"X-aws-ec2-metadata-token: \0\r\n\r\n",
    "non-ASCII target": "GET /läst/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode(),
    "Latin-1 target": "GET /läst/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode("latin-1"),
    "non-ASCII token": GET + "X-aws-ec2-metadata-token: é\r\n\r\n".encode(),
    "non-ASCII token of the right length": GET + b"X-aws-ec2-metadata-token: " + b"\xe9" * 56 + b"\r\n\r\n",
    "non-ASCII TTL": PUT.replace(b"60", "٦٠".encode()) + b"\r\n",
    "non-ASCII Host": b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
    "non-ASCII authorization": b"GET /v1/credentials HTTP/1.0\r\nAuthorization: \xff\xc3\r\n\r\n",
    "non-ASCII method": b"G\xc9T / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "obsolete folding": GET + b"X: a\r\n b\r\n\r\n",
    "folded Host": b"GET / HTTP/1.1\r\nHost:\r\n 127.0.0.1\r\n\r\n",
    "blank before colon": GET + b"X : a\r\n\r\n",
    "header without colon": GET + b"nonsense\r\n\r\n",
    "header without name": GET + b": a\r\n\r\n",
    "two Hosts": GET + b"Host: example.com\r\n\r\n",
    "Host with a path": b"GET / HTTP/1.1\r\nHost: 127.0.0.1/x\r\n\r\n",
    "Host with nonsense": b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "HTTP/0.9": b"GET /latest/\r\n",
    "HTTP/0.9 and a blank line": b"GET /latest/\r\n\r\n",
    "HTTP/1.2": b"GET /latest/ HTTP/1.2\r\nHost: 127.0.0.1\r\n\r\n",
    "HTTP/2 by name": b"GET /latest/ HTTP/2.0\r\nHost: 127.0.0.1\r\n\r\n",
    "HTTP/2 preface": HTTP_2,
    "HTTP/2 upgrade": GET
    + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n"
    + HTTP_2,
    "TLS hello": TLS,
    "SOCKS": b"\x05\x01\x00",
    "SSH": b"SSH-2.0-OpenSSH_9.9\r\n",
    "PROXY protocol": b"PROXY TCP4 10.0.0.1 10.0.0.2 1 80\r\n" + GET + b"\r\n",
    "CONNECT": b"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: 169.254.169.254:80\r\n\r\n",
    "CONNECT and a request in it": b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + GET + b"\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "no slash": b"GET latest HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "no target": b"GET  HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "half a URL": b"GET http://[::1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "URL with a wrong port": b"GET http://127.0.0.1:x/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "URL with a huge port": b"GET http://127.0.0.1:99999/latest/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "URL with odd brackets": b"GET http://[v1.x]/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "lower-case method": b"get /latest/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "websocket": GET
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    + b"Sec-WebSocket-Key: x\r\n\r\n\x81\x05hello",
    "pipelining": (PUT + b"\r\n") * 50,
    "pipelining nonsense": PUT + b"\r\n\r\nnonsense\r\n\r\n",
    "pipelining to containers": b"GET /v1/credentials HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 200
    + b"GET /v1/credentials HTTP/1.0\r\n\r\n",
    "no blank line": GET,
    "nothing": b"",
    "no Host and bare LF": b"GET / HTTP/1.1\n\n",
    "blank lines, no Host": b"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "NUL alone": b"\0",
}
SILENCE = {"bare CR", "HTTP/0.9", "no blank line", "nothing"}
"""Heads that are not complete when the client stops."""
AMBIGUOUS = [
    name for name in NAMED if name.startswith(("TE ", "CL ", "CL and", "bare LF", "NUL in", "two Hosts", "mixed"))
]
READ_AS_ONE = {"TE in HTTP/1.0"}
"""The connection ends after it, so that there is no second request to smuggle."""


@pytest.mark.parametrize("name", NAMED)
def test_named(name, answering):
    """Each of these is answered with a status below 500, unless it is only half a request, and the connection ends."""
    [reply] = asyncio.run(_all(answering.address, [NAMED[name]]))
    _check_replies(name, NAMED[name], reply)
    if len(NAMED[name]) < MAX_HEAD:  # longer ones may be cut off before they can read their answer
        assert (reply == b"") == (name in SILENCE), reply
    if name in AMBIGUOUS and name not in READ_AS_ONE:
        assert reply.startswith(b"HTTP/1.1 400 "), "two parsers could read it in two ways"
    _check_alive(answering)


def test_a_line_without_a_version_is_no_request(answering):
    """It is malformed in both modes: nothing is given for it, also where no session token is wanted."""
    for path in (b"/", b"/latest/meta-data/", b"/latest/meta-data/iam/security-credentials/app"):
        reply = wire.exchange(answering.address, b"GET " + path + b"\r\n\r\n")
        assert (reply.status, reply.body) == (400, b"")
        assert reply.headers["Connection"] == "close"


def test_generated(answering):
    """Six hundred requests, each damaged in some way, change nothing for anybody."""
    source = random.Random(20300101)
    requests = [_damaged(source, answering.tokens["valid"].encode()) for _ in range(600)]
    for request, reply in zip(requests, asyncio.run(_all(answering.address, requests)), strict=True):
        _check_replies("generated", request, reply)
    _check_alive(answering)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(
    target=st.text(min_size=1, max_size=60).map(lambda text: "/" + text.replace("\n", "").replace("\r", "")),
    headers=st.lists(
        st.tuples(st.from_regex(r"[!#$%&'*+.^_`|~A-Za-z0-9-]{1,20}", fullmatch=True), st.binary(max_size=30))
    ),
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "OPTIONS", "X", "get"]),
)
def test_any_text(answering, target, headers, method):
    """Any text as target and anything as headers gets a status below 500."""
    lines = [f"{method} {target} HTTP/1.1".encode("utf-8", "surrogatepass"), b"Host: 127.0.0.1"]
    lines += [name.encode() + b": " + value for name, value in headers]
    request = b"\r\n".join(lines) + b"\r\n\r\n"
    [reply] = asyncio.run(_all(answering.address, [request]))
    _check_replies("any text", request, reply)


def test_the_log_has_no_failures(answering):
    """After all of the above, the daemon has noticed no mistake of its own."""
    for sign in ("Traceback", "unexpected failure", "never retrieved", "Unhandled", "ERROR"):
        assert sign not in answering.daemon.log, answering.daemon.log[-4000:]


def _damaged(source: random.Random, token: bytes) -> bytes:
    paths = [b"/latest/api/token", b"/latest/meta-data/iam/security-credentials/app", b"/", b"/v2/credentials/x"]
    lines = [
        source.choice([b"GET", b"PUT", b"HEAD", b"POST", b"OPTIONS"]) + b" " + source.choice(paths) + b" HTTP/1.1",
        b"Host: 127.0.0.1",
        b"X-aws-ec2-metadata-token: " + token,
        b"X-aws-ec2-metadata-token-ttl-seconds: 60",
        *source.sample(
            [b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"Upgrade: h2c"], 1
        ),
    ]
    request = bytearray(b"\r\n".join(lines) + b"\r\n\r\n" + source.choice([b"", b"abc", b"0\r\n\r\n"]))
    for _ in range(source.randint(1, 6)):
        at = source.randrange(len(request) + 1)
        match source.randrange(6):
            case 0:
                request[at : at + 1] = bytes([source.randrange(256)])
            case 1:
                request[at:at] = source.randbytes(source.randint(1, 8))
            case 2:
                del request[at : at + source.randint(1, 12)]
            case 3:
                request[at:at] = source.choice([b"\r\n", b"\n", b"\0", b"\t", b" ", b"%", b"//", b":", b"\r", b"\xff"])
            case 4:
                request[at:at] = request[: source.randint(1, 80)]
            case _:
                request[at:at] = bytes([source.randrange(33, 127)]) * source.choice([10, 300, 9000])
    return bytes(request)


async def _all(address: tuple[str, int], requests: list[bytes]) -> list[bytes]:
    """Return what each request gets until the server closes; each says that nothing more will come."""
    few = asyncio.Semaphore(AT_ONCE)

    async def one(request: bytes) -> bytes:
        async with few, asyncio.timeout(PATIENCE):
            return await _exchange(address, request)

    return await asyncio.gather(*(one(request) for request in requests))


async def _exchange(address: tuple[str, int], request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    received = bytearray()
    try:
        writer.write(request)
        if request:
            await writer.drain()
        with contextlib.suppress(OSError):  # cut off already
            writer.write_eof()
        while chunk := await reader.read(65536):
            received += chunk
    except ConnectionError:
        pass  # cut off while it was still sending
    finally:
        writer.transport.abort()
    return bytes(received)


def _check_replies(name: str, request: bytes, replies: bytes) -> None:
    statuses = re.findall(rb"(?:\A|\}|[\n>])?HTTP/1\.1 (\d{3}) ", replies)
    assert not replies or statuses, f"{name}: {request!r} got {replies!r}"
    assert all(200 <= int(status) < 500 for status in statuses), f"{name}: {request!r} got {replies!r}"


def _check_alive(answering) -> None:
    role = wire.get(answering.address, "/latest/meta-data/iam/security-credentials/", token=answering.tokens["valid"])
    assert role.body == b"app"
