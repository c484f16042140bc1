"""Plain requests are answered without aiohttp, and exactly as aiohttp's way answers them."""

from __future__ import annotations

import contextlib
import re
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import wire

from imds.web.plain import read_plain

TOKEN = b"X-aws-ec2-metadata-token"
PLAIN = [
    b"PUT /latest/api/token HTTP/1.1\r\nHost: 127.0.0.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n",
    b"PUT /latest/api/token HTTP/1.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 0\r\nContent-Length: 0\r\n\r\n",
    b"GET /latest/meta-data/iam/security-credentials/ HTTP/1.1\r\nHost: 127.0.0.1\r\n" + TOKEN + b": %s\r\n\r\n",
    b"GET /latest/meta-data/iam/security-credentials/app HTTP/1.1\r\nHost: [::1]:80\r\n" + TOKEN + b": %s\r\n\r\n",
    b"HEAD //latest//meta-data/ HTTP/1.1\r\nConnection: keep-alive\r\n" + TOKEN + b": %s\r\n\r\n",
    b"GET /latest/nothing HTTP/1.1\r\nHost: localhost:80\r\n" + TOKEN + b": %s\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: evil.example\r\n" + TOKEN + b": %s\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nx-forwarded-for: 1.2.3.4\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /v2/credentials/none HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: none\r\nConnection: close\r\n\r\n",
]


def in_two(address, request: bytes) -> bytes:
    """Send a request in two segments, which is not plain, and return the answer."""
    with socket.create_connection(address, timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request[:9])
        received = b""
        connection.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            received += connection.recv(65536)  # nothing yet; the first segment has been read by then
        connection.settimeout(10)
        connection.sendall(request[9:])
        while chunk := connection.recv(65536):
            received += chunk
        return received


def comparable(answer: bytes) -> bytes:
    """Return an answer without what differs from one moment to the next."""
    answer = re.sub(rb"(?m)^Date: .*$", b"Date: now", answer)
    answer = re.sub(rb"Ttl-Seconds: \d+", b"Ttl-Seconds: N", answer)
    return re.sub(rb"\r\n\r\nAQAE[\w=-]{52}$", b"\r\n\r\nTOKEN", answer)


@pytest.mark.parametrize("request_", PLAIN, ids=range(len(PLAIN)))
def test_both_ways_answer_alike(served, request_):
    """A request in one segment and the same in two have the same answer, byte for byte."""
    address = served.address
    if b"%s" in request_:
        request_ = request_ % wire.get_token(address).encode()
    assert read_plain(request_) is not None
    whole = wire.exchange(address, request_).raw
    assert comparable(whole) == comparable(in_two(address, request_))


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
        b"GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: upgrade\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n",
        b"GET / HTTP/1.1\nA: b\n\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"get / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\n\r\n",
        b"GET http://127.0.0.1/ HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"b" * 5000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n",
        b"\r\n\r\n",
        b"",
    ],
)
def test_what_is_not_plain(request_):
    """Whatever leaves room for two readings is left to aiohttp."""
    assert read_plain(request_) is None


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: b"GET / HTTP/1.1\r\n" + tail + b"\r\n\r\n"))
def test_any_bytes(data):
    """Reading never fails, and what is taken for plain is plain: printable, one head, no header twice."""
    plain = read_plain(data)
    if plain is not None:
        method, target, headers = plain
        assert method in {"GET", "HEAD", "PUT"}
        assert (method + target + "".join(headers) + "".join(headers.values())).isprintable()
        assert data.count(b"\r\n\r\n") == 1
        assert len({name.lower() for name in headers}) == len(headers) == data.count(b"\r\n") - 2
