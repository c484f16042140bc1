"""Connections that come in numbers, slowly, or halfway."""

from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import ExitStack

import pytest
from support import wire
from support.answering import CONFIG, LOOPS, start

from imds.web.connection import HEAD_TIMEOUT, LINGER

PATIENCE = HEAD_TIMEOUT + LINGER + 10
IDLE = 1000
LIST = "/latest/meta-data/iam/security-credentials/"

SLOW = {
    "says nothing": [b""],
    "half a line": [b"GET /latest"],
    "one byte at a time": [b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ", *[b"x"] * 100],
    "one header at a time": [b"GET / HTTP/1.1\r\n", *[b"X: y\r\n"] * 100],
    "blank lines": [b"\r\n"] * 100,
    "no end of the head": [b"PUT /latest/api/token HTTP/1.1\r\nHost: 127.0.0.1\r\n"],
    "a body that does not come": [b"PUT /latest/api/token HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n"],
    "a body byte by byte": [b"PUT / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 999\r\n\r\n", *[b"x"] * 100],
    "a chunk that does not come": [b"PUT / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"],
    "half a second request": [b"GET /v1/credentials HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /v1", *[b"x"] * 100],
    "silence after a kept-alive answer": [b"GET /v1/credentials HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"],
}


@pytest.fixture(autouse=True, scope="module")
def _many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_slow_senders_are_cut_off(answering):
    """Whoever does not finish a request loses the connection, and no answer that was due is 5xx."""
    assert HEAD_TIMEOUT + LINGER <= 10
    replies = await asyncio.gather(*(_send_slowly(answering.address, pieces) for pieces in SLOW.values()))
    for name, reply in zip(SLOW, replies, strict=True):
        assert b"HTTP/1.1 5" not in reply, name
    assert wire.get(answering.address, LIST).body == b"app"


def test_a_client_that_stops_sending_is_answered(answering):
    """``nc -N`` closes its half of the connection as soon as it has sent, and still gets every answer."""
    for path in (LIST, "/nope") * 10:
        request = wire.request("GET", path, {"X-aws-ec2-metadata-token": answering.tokens["valid"]})
        assert wire.exchange(answering.address, request, half_close=True).status in (200, 404)


def test_a_request_in_pieces(answering):
    """A head that arrives byte by byte is the same request."""
    for host in ("127.0.0.1", None):
        raw = wire.request("GET", LIST, {"X-aws-ec2-metadata-token": answering.tokens["valid"]}, host=host)
        with socket.create_connection(answering.address, timeout=10) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in raw:
                connection.sendall(bytes([byte]))
            assert connection.makefile("rb").read().endswith(b"\r\n\r\napp")


def test_a_thousand_idle_connections(answering):
    """A thousand clients that say nothing do not keep another from its answer."""
    with ExitStack() as stack:
        for _ in range(IDLE):
            stack.enter_context(socket.create_connection(answering.address, timeout=10))
        assert wire.get(answering.address, LIST).body == b"app"


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("limit", [128, 256])
def test_a_thousand_idle_connections_and_few_files(limit, loop, tmp_path, moto_server):
    """Even where the daemon may open few files, idle clients make room, and each later client gets its answer."""
    text, prefix = CONFIG.format(mode="required"), ("prlimit", f"--nofile={limit}:{limit}")
    with start(tmp_path, moto_server, text, loop=loop, prefix=prefix) as daemon, ExitStack() as stack:
        address = daemon.address
        for _ in range(IDLE):
            stack.enter_context(socket.create_connection(address, timeout=10))
        for _ in range(5):
            assert wire.get(address, LIST).body == b"app"
        assert daemon.status()["ready"]
        assert "Traceback" not in daemon.log


async def _send_slowly(address: tuple[str, int], pieces: list[bytes]) -> bytes:
    """Return what comes until the server closes, while ``pieces`` go out at a walking pace."""
    reader, writer = await asyncio.open_connection(*address)

    async def trickle() -> None:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.25)  # being slow is what is tested

    sending = asyncio.create_task(trickle())
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        sending.cancel()
        writer.transport.abort()


def test_who_goes_without_asking_is_let_go_at_once(tmp_path, moto_server):
    """A client that connects and says that it sends nothing holds no file of ours, however it is looked up."""
    rules = """\
    callers:
      - {match: {exe: /nowhere/at/all}, instance: other}
      - {match: {user: "@daemon"}, instance: default}
"""
    with start(tmp_path, moto_server, CONFIG.format(mode="required") + rules) as daemon:
        for _ in range(3):
            with socket.create_connection(daemon.address, timeout=HEAD_TIMEOUT - 1) as connection:
                connection.shutdown(socket.SHUT_WR)
                assert connection.recv(1) == b""
