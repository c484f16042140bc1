"""Container credentials: a role to whoever holds its token, in the way of ECS and EKS."""

from __future__ import annotations

import json
import re
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import pytest
from support import wire
from support.answering import CONFIG, start
from support.emulators import free_port, moto
from support.fakes import KNOWN_SECRETS
from support.namespaces import needs_root

if TYPE_CHECKING:
    from support.daemon import DaemonProcess

ODD = "my+role@x=1,a.b_c-d"
KEYS = ["RoleArn", "AccessKeyId", "SecretAccessKey", "Token", "Expiration", "AccountId"]
LIST = "/latest/meta-data/iam/security-credentials/"
NAMESPACE_CONFIG = """\
    region: eu-west-1
    listen:
      - http://127.0.0.1:9254
      - http://169.254.169.254:80
      - http://169.254.170.2:80
      - http://169.254.170.23:80
    roles: {app: {role_arn: "arn:aws:iam::111122223333:role/app", source: {profile: work}}}
"""


def mint(daemon: DaemonProcess, role: str = "app", ttl: int = 3600) -> tuple[str, str]:
    """Return a new token's path and its secret."""
    body = json.dumps({"role": role, "ttl": ttl})
    status, given = wire.control(daemon.control_socket, "POST", "/v1/container-tokens", body)
    assert status == 201, given
    KNOWN_SECRETS.append(given["token"])
    return urlsplit(given["url"]).path, given["token"]


def get(address: tuple[str, int], path: str, authorization: str | None) -> wire.Reply:
    """Return the answer to a GET whose connection is not kept."""
    headers = {"Authorization": authorization} if authorization is not None else {}
    return wire.exchange(address, wire.request("GET", path, headers | {"Connection": "close"}))


def test_the_document(answering):
    """Every path gives the document that all SDKs take, compact, with JSON's type and no charset."""
    path, secret = mint(answering.daemon)
    for target in (
        path,
        f"{path}/",
        path.replace("/", "//"),
        f"{path}?x=1",
        "/v1/credentials",
        "/role/app",
        "//role/app/",
    ):
        reply = get(answering.address, target, secret)
        assert reply.status == 200, target
        assert reply.headers["Content-Type"] == "application/json"
        assert int(reply.headers["Content-Length"]) == len(reply.body) < 10_000
        assert reply.headers["Connection"] == "close"
        document = json.loads(reply.body)
        assert list(document) == KEYS
        assert all(isinstance(value, str) and value for value in document.values())
        assert reply.body == json.dumps(document, separators=(",", ":")).encode()
        assert document["RoleArn"] == "arn:aws:iam::111122223333:role/app"
        assert document["AccountId"] == "111122223333"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["Expiration"])


def test_it_is_the_session_of_the_metadata_service(answering):
    """Both ways give the same keys, and a role's odd name may be percent-encoded."""
    _, secret = mint(answering.daemon, ODD)
    token = answering.tokens["valid"]
    other = json.loads(wire.get(answering.address, LIST + ODD, token=token).body)
    for name in (ODD, quote(ODD, safe="")):
        assert json.loads(get(answering.address, f"/role/{name}", secret).body)["AccessKeyId"] == other["AccessKeyId"]


def test_a_token_opens_its_own_role_and_nothing_else(answering):
    """Whatever is not exactly the token for exactly this path is 401, in JSON, and does not say why."""
    path, secret = mint(answering.daemon)
    other_path, other = mint(answering.daemon, ODD)
    bodies = set()
    for target, authorization in [
        *((path, wrong) for wrong in (None, "", "x", "Bearer", "Bearer ", secret[:-1], secret + "A", secret.upper())),
        *((path, wrong) for wrong in (other, f"Bearer {other}", f"Basic {secret}", f"Bearer Bearer {secret}", "\xff")),
        *((path, wrong) for wrong in (f"{secret} {secret}", f"{secret},{other}", answering.tokens["valid"])),
        (other_path, secret),
        ("/v2/credentials/00000000-0000-0000-0000-000000000000", secret),
        ("/v2/credentials/x", secret),
        ("/v1/credentials", None),
        ("/role/app", None),
    ]:
        reply = get(answering.address, target, authorization)
        assert reply.status == 401, f"{target} {authorization}: {reply.raw}"
        assert reply.headers["Content-Type"] == "application/json"
        assert set(json.loads(reply.body)) == {"code", "message"}
        bodies.add(reply.body)
    assert len(bodies) == 1
    for authorization in (secret, f"Bearer {secret}", f"Bearer   {secret} "):
        assert get(answering.address, path, authorization).status == 200
    for target in ("/role/private", f"/role/{ODD}", "/role/nobody"):
        assert get(answering.address, target, secret).status == 404, target


def test_what_is_not_a_path_of_it(answering):
    """Other paths below its roots are 404 and other methods 405, with JSON; a session token opens nothing here."""
    path, secret = mint(answering.daemon)
    for target in (
        "/v2",
        "/v2/",
        "/v2/credentials",
        "/v2/credentials/",
        f"{path}/x",
        "/v1",
        "/v1/x",
        "/role",
        "/role/",
    ):
        assert get(answering.address, target, secret).status == 404, target
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        raw = wire.request(method, path, {"Authorization": secret, "Connection": "close"})
        assert wire.exchange(answering.address, raw).status == 405
    head = wire.exchange(
        answering.address, wire.request("HEAD", path, {"Authorization": secret, "Connection": "close"})
    )
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["Content-Length"]) > 100


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Origin", "Referer", "Sec-Fetch-Site"])
def test_browsers_and_proxies_are_refused(header, answering):
    """A right token does not help who sends a proxy's or a browser's marks, or a foreign Host."""
    path, secret = mint(answering.daemon)
    raw = wire.request("GET", path, {"Authorization": secret, header: "x"})
    assert wire.exchange(answering.address, raw).status == 403
    raw = wire.request("GET", path, {"Authorization": secret}, host="example.com")
    assert wire.exchange(answering.address, raw).status == 403


def test_a_connection_is_kept(answering):
    """Several requests come one after another, or all at once, on one connection; a wrong one ends it."""
    path, secret = mint(answering.daemon)
    one = wire.request("GET", path, {"Authorization": secret})
    wrong = wire.request("GET", path, {"Authorization": "x"})
    last = wire.request("GET", path, {"Authorization": secret, "Connection": "close"})
    with socket.create_connection(answering.address, timeout=10) as connection:
        answers = connection.makefile("rb")
        for _ in range(3):
            connection.sendall(one)
            assert _read_one(answers)[0] == 200
        connection.sendall(one + one + last)
        assert [_read_one(answers)[0] for _ in range(3)] == [200, 200, 200]
        assert answers.read() == b""
    with socket.create_connection(answering.address, timeout=10) as connection:
        answers = connection.makefile("rb")
        connection.sendall(one + wrong)
        assert [_read_one(answers)[0] for _ in range(2)] == [200, 401]
        assert answers.read() == b""


def test_http_1_0_is_closed_and_says_so(answering):
    """A client that does not keep connections is told that this one ends."""
    path, secret = mint(answering.daemon)
    raw = wire.request("GET", path, {"Authorization": secret}).replace(b"HTTP/1.1", b"HTTP/1.0")
    assert wire.exchange(answering.address, raw).headers["Connection"] == "close"


def test_a_token_ends_when_it_is_revoked(answering):
    """Revoked once it opens nothing, and the others are not touched."""
    (path, secret), (kept_path, kept) = mint(answering.daemon), mint(answering.daemon)
    target = f"/v1/container-tokens/{path.rpartition('/')[2]}"
    assert wire.control(answering.daemon.control_socket, "DELETE", target)[0] == 200
    assert wire.control(answering.daemon.control_socket, "DELETE", target)[0] == 404
    assert get(answering.address, path, secret).status == 401
    assert get(answering.address, "/v1/credentials", secret).status == 401
    assert get(answering.address, kept_path, kept).status == 200


def test_tokens_survive_a_restart(tmp_path, moto_server):
    """Container tokens and session tokens work after a restart, unless they have expired or were altered meanwhile."""
    text = CONFIG.format(mode="required").replace("127.0.0.1:0", f"127.0.0.1:{free_port()}")
    with start(tmp_path, moto_server, text) as daemon:
        address, session = daemon.address, wire.get_token(daemon.address)
        (path, secret), (ended_path, ended) = mint(daemon), mint(daemon)
        state = Path(daemon.environment["XDG_STATE_HOME"]) / "imds"
    kept = state / "container-tokens.json"
    assert kept.stat().st_mode & 0o777 == (state / "token.key").stat().st_mode & 0o777 == 0o600
    assert secret not in kept.read_text()
    document = json.loads(kept.read_text())
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    [entry] = [entry for entry in document["tokens"] if entry["id"] == ended_path.rpartition("/")[2]]
    entry["expires"] = past
    kept.write_text(json.dumps(document))
    with start(tmp_path, moto_server, text) as daemon:
        assert get(address, path, secret).status == 200
        assert get(address, ended_path, ended).status == 401
        assert wire.get(address, LIST, token=session).body == b"app"
    (state / "token.key").unlink()
    with start(tmp_path, moto_server, text) as daemon:
        assert wire.get(address, LIST, token=session).status == 401


@needs_root
def test_each_address_serves_its_own(namespace, tmp_path):
    """ECS's and EKS's addresses serve containers only, EC2's only metadata, and loopback both."""
    emulator = moto()
    emulator.namespace = namespace
    with emulator, start(tmp_path, emulator, NAMESPACE_CONFIG, prefix=namespace.prefix) as daemon:
        path, secret = mint(daemon)
        namespace.call(_check_addresses, path, secret)


def _check_addresses(path: str, secret: str) -> None:
    ec2, loopback = ("169.254.169.254", 80), ("127.0.0.1", 9254)
    token = wire.get_token(ec2)
    for address in (("169.254.170.2", 80), ("169.254.170.23", 80)):
        for target in (path, "/v1/credentials"):
            assert get(address, target, secret).status == 200
            assert get(address, target, "x").status == 401
        for target in ("/", LIST, "/latest/meta-data/instance-id", "/latest/api/token"):
            assert get(address, target, token).status == 404, target
    for target in (path, "/v1/credentials", "/role/app"):
        reply = get(ec2, target, secret)
        assert (reply.status, reply.body) == (401, b""), "an unknown path without a session token"
        assert wire.get(ec2, target, token=token).status == 404
    assert wire.get(ec2, "/latest/meta-data/placement/region", token=token).body == b"eu-west-1"
    assert wire.get(loopback, "/latest/meta-data/placement/region", token=token).body == b"eu-west-1"
    assert get(loopback, path, secret).status == 200


def _read_one(answers) -> tuple[int, bytes]:
    """Return the status and body of the next answer on a connection."""
    status = int(answers.readline().split()[1])
    length = 0
    while (line := answers.readline().strip().lower()) != b"":
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return status, answers.read(length)
