"""Other users of this host: refused, unless a rule gives them something. Each connection is really theirs."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from support import wire
from support.answering import CONFIG, start
from support.fakes import KNOWN_SECRETS
from support.users import acting_as

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as other users")

NOBODY, STRANGER, BARRED = 65534, 54321, 54322
ODD = "my+role@x=1,a.b_c-d"
LIST = "/latest/meta-data/iam/security-credentials/"
RULES = """\
    callers:
      - {match: {user: "54322"}, refuse: "not you"}
      - {match: {user: "nobod?"}, instance: other}
      - {match: {user: "@daemon"}, instance: default}
"""


def test_another_user_is_refused(answering):
    """Without ``callers`` nobody but the daemon's own user gets a token, a page or a role, not even by a 404 or 401."""
    path, secret = _mint(answering.daemon)
    requests = [
        wire.request("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}),
        *(
            wire.request(method, target, {"X-aws-ec2-metadata-token": token})
            for method in ("GET", "HEAD", "POST")
            for target in ("/", LIST, f"{LIST}app", "/nope", "/latest/%ff")
            for token in (answering.tokens["valid"], "garbage")
        ),
        *(
            wire.request("GET", target, {"Authorization": secret, "Connection": "close"})
            for target in (path, "/v1/credentials", "/role/app", "/v2/nope")
        ),
    ]
    for request in requests:
        with acting_as(NOBODY):
            reply = wire.exchange(answering.address, request)
        assert reply.status == 403, request
        assert b"app" not in reply.body.replace(b"application", b""), "a refusal says little"
    assert wire.get(answering.address, LIST).body == b"app"


def test_the_log_says_who_was_refused_once(answering):
    """A refusal names the user and the reason, and its repetition within a minute is not shouted again."""
    for _ in range(20):
        with acting_as(STRANGER):
            assert wire.get(answering.address, "/", token="").status == 403
    lines = [line for line in answering.daemon.log.splitlines() if "54321" in line and "warning" in line]
    assert len(lines) == 1, lines


def test_callers_rules(tmp_path, moto_server):
    """The first rule that matches a user decides what it sees; whom none matches sees nothing."""
    text = CONFIG.format(mode="optional") + RULES
    with start(tmp_path, moto_server, text) as daemon:
        address, (path, secret) = daemon.address, _mint(daemon, ODD)
        given = wire.get_token(address)
        assert wire.get(address, LIST).body == b"app"
        with acting_as(NOBODY):
            theirs = wire.get_token(address)
            assert wire.get(address, LIST, token=theirs).body == b"private"
            assert wire.get(address, f"{LIST}private", token=theirs).status == 200
            assert wire.get(address, f"{LIST}app", token=theirs).status == 404
            assert wire.get(address, LIST, token=given).status == 401, "another instance's token"
            authorized = wire.request("GET", path, {"Authorization": secret, "Connection": "close"})
            assert wire.exchange(address, authorized).status == 403, (
                "another user's container token, although the role is theirs too"
            )
        assert wire.exchange(address, authorized).status == 200
        for uid in (STRANGER, BARRED):
            with acting_as(uid):
                assert wire.get(address, LIST, token=given).status == 403
        assert "not you" in daemon.log


def test_the_control_socket_of_another_user(tmp_path, moto_server, monkeypatch):
    """Its mode keeps others out, and were it open, the kernel's word on who they are would."""
    with start(tmp_path, moto_server, CONFIG.format(mode="required")) as daemon:
        path, _ = daemon.control_socket, _mint(daemon)
        monkeypatch.chdir(path.parent)  # so that no directory above has to let them pass
        path.parent.chmod(0o755)
        with acting_as(NOBODY), pytest.raises(PermissionError):
            wire.control(path.name, "GET", "/v1/status")
        path.chmod(0o666)
        for method, target in (
            ("GET", "/v1/status"),
            ("POST", "/v1/reload"),
            ("POST", "/v1/container-tokens"),
            ("POST", "/v1/container-tokens/x/renew"),
            ("DELETE", "/v1/container-tokens/x"),
            ("GET", "/nope"),
        ):
            with acting_as(NOBODY):
                status, said = wire.control(path.name, method, target, "{}")
            assert status == 403, target
            assert "app" not in json.dumps(said)


def _mint(daemon, role: str = "app") -> tuple[str, str]:
    body = json.dumps({"role": role})
    status, given = wire.control(daemon.control_socket, "POST", "/v1/container-tokens", body)
    assert status == 201, given
    KNOWN_SECRETS.append(given["token"])
    return f"/v2/credentials/{given['id']}", given["token"]
