"""Requests and answers, byte by byte: the table in ``data/requests.json``."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest
from support import wire

TABLE = json.loads((Path(__file__).parents[1] / "data" / "requests.json").read_text())
XHTML_404 = 339
"""Length of EC2's page, by the ``Content-Length`` of smithy-rs' recording ``imds_no_iam_role``."""
TTL = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
HTTP_DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")


def test_the_table_is_of_use():
    """Every entry says what it shows, and asks for something in a mode that exists."""
    for entry in TABLE:
        assert entry["docs"].endswith(".")
        assert set(entry) <= {"docs", "mode", "request", "expect"}
        assert set(entry["request"]) <= {"method", "target", "token", "headers", "host", "version", "body"}
        assert entry.get("mode", "required") in ("required", "optional")
        assert "status" in entry["expect"]


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry["docs"].rstrip(".")[:70])
def test_answer(entry, answering):
    """Every request of the table gets the answer of the table, in each mode that it names."""
    if entry.get("mode", answering.mode) != answering.mode:
        return
    asked = entry["request"]
    kinds = [
        _list(asked.get(key, default)) for key, default in (("method", "GET"), ("target", "/"), ("token", "valid"))
    ]
    for method, target, kind in itertools.product(*kinds):
        raw = _request(asked, method, target, answering.tokens[kind])
        _check(wire.exchange(answering.address, raw), entry["expect"], f"{method} {target} ({kind})", method, kind)


def _request(asked: dict, method: str, target: str, token: str | None) -> bytes:
    headers = {"X-aws-ec2-metadata-token": token} if token is not None else {}
    raw = wire.request(method, target, headers | asked.get("headers", {}), host=asked.get("host", "127.0.0.1"))
    raw = raw.replace(b" HTTP/1.1\r\n", f" {asked.get('version', 'HTTP/1.1')}\r\n".encode(), 1)
    return raw + asked.get("body", "").encode()


def _check(reply: wire.Reply, expect: dict, what: str, method: str, kind: str) -> None:
    assert reply.status == expect["status"], f"{what}: {reply.raw!r}"
    assert reply.raw.startswith(b"HTTP/1.1 "), what
    names = [line.partition(": ")[0] for line in reply.header_lines]
    assert len(names) == len(set(names)), f"{what}: a header twice"
    assert reply.headers["Server"] == "EC2ws", what
    assert reply.headers["Connection"] == "close", what
    assert HTTP_DATE.fullmatch(reply.headers["Date"]), what
    length = int(reply.headers["Content-Length"])
    assert len(reply.body) == (0 if method == "HEAD" else length), f"{what}: {reply.raw!r}"
    if reply.status == 200:
        assert not reply.body.endswith(b"\n"), what
    if reply.status == 404:
        assert (length, reply.headers["Content-Type"]) == (XHTML_404, "text/html"), what
    else:
        assert reply.headers["Content-Type"] == "text/plain", what
        assert reply.status == 200 or length == 0, what
    if method in ("GET", "HEAD") and reply.status in (200, 404):
        assert (TTL in names) == (kind == "valid"), what
        assert kind != "valid" or 0 < int(reply.headers[TTL]) <= 21600, what
    if "order" in expect:
        assert names == expect["order"], what
    for name, value in expect.get("headers", {}).items():
        assert reply.headers.get(name) == value, what
    if "status_line" in expect:
        assert reply.head.split(b"\r\n")[0].decode() == expect["status_line"], what
    if "body" in expect:
        assert reply.body.decode() == expect["body"], what
    if "matches" in expect:
        assert re.fullmatch(expect["matches"], reply.body.decode(), re.DOTALL), f"{what}: {reply.body!r}"


def _list(value: object) -> list:
    return value if isinstance(value, list) else [value]
