"""The control socket on bytes: who may use it, and what it makes of nonsense."""

from __future__ import annotations

import json
import os
import stat

import pytest
from support import wire
from support.fakes import KNOWN_SECRETS

BODIES = {
    "no JSON": b"role=app",
    "half of it": b'{"role": "app"',
    "not UTF-8": b'{"role": "\xff"}',
    "UTF-16": '{"role": "app"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a list": b"[]",
    "a text": b'"app"',
    "null": b"null",
    "not a number": b'{"ttl": NaN}',
    "deep": b"[" * 60_000,
    "deep in a key": b'{"a":' * 10_000,
    "a number without end": b'{"ttl": ' + b"9" * 60_000 + b"}",
    "a role that is a number": b'{"role": 1}',
    "a role that is a list": b'{"role": ["app"]}',
    "a ttl that is a text": b'{"role": "app", "ttl": "60"}',
    "a ttl that is a fraction": b'{"role": "app", "ttl": 1.5}',
    "a ttl that is true": b'{"role": "app", "ttl": true}',
    "a ttl of nothing": b'{"role": "app", "ttl": 0}',
    "a ttl below nothing": b'{"role": "app", "ttl": -1}',
    "a ttl of eight days": b'{"role": "app", "ttl": 691200}',
    "an infinite ttl": b'{"role": "app", "ttl": 1e999}',
}
MISSING = {
    "no such role": '{"role": "nobody"}',
    "half a character": '{"role": "\\ud800"}',
    "another instance's role": '{"role": "private"}',
    "the empty role": '{"role": " "}',
    "a path": '{"role": "../app"}',
}


def test_only_its_user_can_reach_it(answering):
    """The socket and its directory are private."""
    path = answering.daemon.control_socket
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o077 == 0
    assert path.stat().st_uid == os.getuid()


@pytest.mark.parametrize("name", BODIES)
def test_nonsense(name, answering):
    """A body that is not what the verb takes is 400, and says in JSON what it should be."""
    for target in ("/v1/container-tokens", "/v1/container-tokens/x/renew"):
        status, answer = wire.control(answering.daemon.control_socket, "POST", target, BODIES[name])
        if status != 404:  # a renewal has no role
            assert status == 400
            assert set(answer) == {"error"}
    assert "Traceback" not in answering.daemon.log


@pytest.mark.parametrize("name", MISSING)
def test_what_is_not_there(name, answering):
    """A role that this user's instance does not have is 404."""
    status, answer = wire.control(answering.daemon.control_socket, "POST", "/v1/container-tokens", MISSING[name])
    assert (status, list(answer)) == (404, ["error"])


@pytest.mark.parametrize(
    ("method", "target", "headers", "body", "status"),
    [
        ("POST", "/v1/container-tokens", {"Content-Type": "application/json; charset=nonsense"}, b"{}", 201),
        ("POST", "/v1/container-tokens", {"Content-Encoding": "gzip"}, b"nonsense", 400),
        ("POST", "/v1/container-tokens", {}, b" " * 70_000, 413),
        ("GET", "/v1/container-tokens", {}, b"", 405),
        ("POST", "/v1/status", {}, b"", 405),
        ("GET", "/", {}, b"", 404),
        ("GET", "/latest/meta-data/", {}, b"", 404),
        ("GET", "/v2/status", {}, b"", 404),
        ("DELETE", "/v1/container-tokens/%2e%2e%2fx", {}, b"", 404),
        ("DELETE", "/v1/container-tokens/x", {}, b"", 404),
        ("POST", "/v1/container-tokens/00000000-0000-0000-0000-000000000000/renew", {}, b"{}", 404),
    ],
)
def test_other_requests(method, target, headers, body, status, answering):
    """What is no verb, or too much of one, gets a status below 500; JSON is UTF-8, whatever its charset says."""
    got, said = wire.control(answering.daemon.control_socket, method, target, body, **headers)
    assert got == status
    KNOWN_SECRETS.extend([said["token"]] if got == 201 else [])
    assert "Traceback" not in answering.daemon.log


def test_status_has_no_secrets(answering):
    """What it says of the daemon has neither keys nor tokens in it."""
    status, said = wire.control(answering.daemon.control_socket, "GET", "/v1/status")
    assert status == 200
    token = answering.tokens["valid"]
    role = json.loads(wire.get(answering.address, "/latest/meta-data/iam/security-credentials/app", token=token).body)
    text = json.dumps(said)
    assert role["AccessKeyId"] in text
    assert role["SecretAccessKey"] not in text
    assert role["Token"] not in text
