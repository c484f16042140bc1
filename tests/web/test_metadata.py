"""The whole instance over the wire: every path, in every version and slash form, with credentials and signatures."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from support import wire
from support.answering import CONFIG, start
from support.crawler import crawl
from support.machine import eventually
from support.namespaces import needs_root
from support.users import acting_as

from imds.core.paths import VERSIONS

if TYPE_CHECKING:
    from pathlib import Path

MORE = """\
      whole:
        role: app
        identity_role: private
        user_data: {{base64: "AAECAwQFBgcI"}}
        metadata:
          tags: {{Name: laptop, "cost@x": "1,2"}}
          public-keys: {{my-key: ssh-ed25519 AAAA}}
          public-ipv4: 192.0.2.54
          ipv6: "2001:db8::1"
          spot: {{instance-action: '{{"action":"stop","time":"2030-01-01T00:00:00Z"}}'}}
          autoscaling: {{target-lifecycle-state: InService}}
          product-codes: [one, two]
          kernel-id: aki-1
          placement: {{group-name: g, host-id: h-1, partition-number: 1}}
          network: {{interfaces: {{macs: {{"0e:49:61:0f:c3:12": {{device-number: 1, ipv4-prefix: 10.9.0.0/28}}}}}}}}
          elastic-inference/associations/eia-1: "{{}}"
          ancestor-ami-ids: [ami-1, ami-2]
      off: {{role: app, metadata_options: {{http_endpoint: disabled}}}}
    callers:
      - {{match: {{user: 12}}, instance: "off"}}
      - {{match: {{user: "0"}}, instance: whole}}
"""
IDENTITY = "meta-data/identity-credentials/ec2"


@pytest.fixture(scope="module", params=["required", "optional"])
def daemon(request, tmp_path_factory, moto_server):
    """A daemon whose caller sees an instance with everything that there can be."""
    text = (CONFIG + MORE).format(mode=request.param)
    with start(tmp_path_factory.mktemp(request.param), moto_server, text) as running:
        running.mode = request.param
        running.at = running.address  # asked once: it runs a command
        yield running


def read(daemon, path: str, *, token: str | None = None) -> str:
    """Return the text at a path below ``/latest``."""
    reply = wire.get(daemon.at, f"/latest/{path}", token=token)
    assert reply.status == 200, (path, reply.raw)
    return reply.body.decode()


def test_every_path_in_every_version_and_slash_form(daemon):
    """What a listing names answers the same in each version and slash form, and without a token where none is due."""
    token = wire.get_token(daemon.at)
    leaves = crawl(daemon.at, token=token)
    assert len(leaves) > 70
    plain = {path: text for path, text in leaves.items() if not path.startswith("meta-data/public-keys")}
    for version in VERSIONS:
        assert crawl(daemon.at, version=version, token=token) == leaves
    for path, text in plain.items():
        for form in (f"/latest/{path}/", f"//latest//{path}", f"/latest/{path}?a=b"):
            assert wire.get(daemon.at, form, token=token).body.decode() == text, form
        assert wire.get(daemon.at, f"/latest/{path}/x", token=token).status == 404
    bare = wire.exchange(daemon.at, wire.request("GET", "/latest/meta-data/instance-id"))
    assert bare.status == (401 if daemon.mode == "required" else 200)
    if daemon.mode == "optional":
        assert crawl(daemon.at) == leaves


def test_directories_answer_in_both_forms(daemon):
    """No redirect, whatever is asked: the same listing with and without its slash."""
    token = wire.get_token(daemon.at)
    directories = {"meta-data", "dynamic"}
    for path in crawl(daemon.at, token=token):
        parts = path.split("/")[:-1]
        directories |= {"/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
    for path in directories - {""}:
        with_slash, without = (wire.get(daemon.at, f"/latest/{path}{end}", token=token) for end in ("/", ""))
        assert (with_slash.status, without.status) == (200, 200)
        assert with_slash.body == without.body != b""


def test_a_tag_is_found_percent_encoded_too(daemon):
    """Clients write a key as they like."""
    assert read(daemon, "meta-data/tags/instance") == "Name\ncost@x"
    assert read(daemon, "meta-data/tags/instance/cost%40x") == "1,2"


def test_public_keys_are_listed_with_their_names(daemon):
    """The one listing of that kind, and what stands below it."""
    assert read(daemon, "meta-data/public-keys/") == "0=my-key"
    assert read(daemon, "meta-data/public-keys/0/") == "openssh-key"
    assert read(daemon, "meta-data/public-keys/0/openssh-key") == "ssh-ed25519 AAAA my-key\n"


def test_user_data_comes_byte_for_byte(daemon):
    """It may be anything, and is listed because it is there."""
    reply = wire.get(daemon.at, "/latest/user-data/")
    assert reply.headers["Content-Type"] == "application/octet-stream"
    assert reply.body == base64.b64decode("AAECAwQFBgcI")
    assert read(daemon, "") == "dynamic\nmeta-data\nuser-data"


def test_identity_credentials_are_those_of_the_identity_role(daemon):
    """Another role than the instance's, in the same shape, and on record as what it is."""
    assert read(daemon, IDENTITY) == "info\nsecurity-credentials/"
    assert read(daemon, f"{IDENTITY}/security-credentials") == "ec2-instance"
    given = json.loads(read(daemon, f"{IDENTITY}/security-credentials/ec2-instance"))
    by_role = {role["name"]: role["access_key_id"] for role in daemon.status()["roles"]}
    assert given["AccessKeyId"] == by_role["private"]
    assert json.loads(read(daemon, f"{IDENTITY}/info")) == {
        "Code": "Success",
        "LastUpdated": daemon.status()["started"],
        "AccountId": "111122223333",
    }
    assert json.loads(daemon.imds("audit", "--json", "--role", "private").stdout.splitlines()[-1])["role"] == "private"


def test_credentials_are_listed_only_where_crawlers_leave_them_out(daemon):
    """``security-credentials-extended`` answers, and no listing leads there: cloud-init would write it to disk."""
    assert read(daemon, "meta-data/iam") == "info\nsecurity-credentials/"
    assert read(daemon, "meta-data/iam/security-credentials-extended/") == "app"
    assert json.loads(read(daemon, "meta-data/iam/security-credentials-extended/app"))["AccountId"] == "111122223333"


@needs_root
def test_a_metadata_service_that_is_off_refuses_everything(daemon):
    """``http_endpoint: disabled`` is 403 to everything, tokens included."""
    with acting_as(12):
        for request in (
            wire.request("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}),
            wire.request("GET", "/latest/meta-data/instance-id"),
            wire.request("GET", "/nonsense"),
        ):
            reply = wire.exchange(daemon.at, request)
            assert (reply.status, reply.body) == (403, b"")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl_verifies_the_identity_document(daemon, tmp_path: Path):
    """As AWS's user guide tells for its own: the signature over the document, and both messages with it inside."""
    certificate, document = tmp_path / "imds.pem", tmp_path / "document"
    certificate.write_text(daemon.imds("identity-certificate").stdout)
    below = "dynamic/instance-identity"
    assert read(daemon, below) == "document\npkcs7\nrsa2048\nsignature"
    document.write_text(read(daemon, f"{below}/document"))
    key, signature = tmp_path / "key.pem", tmp_path / "signature"
    key.write_bytes(openssl("x509", "-in", str(certificate), "-pubkey", "-noout"))
    signature.write_bytes(base64.b64decode(read(daemon, f"{below}/signature")))
    verified = openssl("dgst", "-sha256", "-verify", str(key), "-signature", str(signature), str(document))
    assert verified == b"Verified OK\n"
    for name in ("pkcs7", "rsa2048"):
        message = tmp_path / name
        message.write_text(f"-----BEGIN PKCS7-----\n{read(daemon, f'{below}/{name}')}\n-----END PKCS7-----\n")
        arguments = ("-inform", "PEM", "-in", str(message), "-certfile", str(certificate), "-noverify")
        assert openssl("smime", "-verify", *arguments) == document.read_bytes()
    document.write_text(document.read_text().replace("111122223333", "111122223334"))
    with pytest.raises(subprocess.CalledProcessError):
        openssl("dgst", "-sha256", "-verify", str(key), "-signature", str(signature), str(document))


def openssl(*arguments: str) -> bytes:
    """Run openssl and return what it says."""
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30).stdout


def test_key_and_certificate_outlive_a_restart(tmp_path: Path, moto_server):
    """Signatures made before and after verify with the same certificate; the key is nobody else's to read."""
    certificates = []
    for _ in range(2):
        with start(tmp_path, moto_server, CONFIG.format(mode="required")) as running:
            certificates.append(running.imds("identity-certificate").stdout)
            (kept,) = tmp_path.rglob("identity.json")
            assert kept.stat().st_mode & 0o777 == 0o600
    assert certificates[0] == certificates[1]
    kept.write_text('{"key": "x", "certificate": "y"}')
    with start(tmp_path, moto_server, CONFIG.format(mode="required")) as running:
        assert "BEGIN CERTIFICATE" in running.imds("identity-certificate").stdout
        assert read_signature(running)


def test_stated_signatures_are_left_alone(tmp_path: Path, moto_server):
    """One is another, one is not there; a document that cannot be signed has none, and is signed once it can be."""
    text = CONFIG.format(mode="required").replace(
        "default: {role: app,",
        "default: {metadata: {dynamic/instance-identity: {signature: mine, pkcs7: null}}, role: app,",
    )
    with start(tmp_path, moto_server, text) as running:
        address = running.address
        assert wire.get(address, "/latest/dynamic/instance-identity").body == b"document\nrsa2048\nsignature"
        assert wire.get(address, "/latest/dynamic/instance-identity/signature").body == b"mine"
    (kept,) = tmp_path.rglob("identity.json")
    kept.chmod(0o644)
    with start(tmp_path, moto_server, text) as running:
        address = running.address
        assert wire.get(address, "/latest/dynamic/instance-identity").body == b"document\nsignature"
        kept.chmod(0o600)
        running.imds("reload")
        listing = b"document\nrsa2048\nsignature"
        assert eventually(lambda: wire.get(address, "/latest/dynamic/instance-identity").body == listing)


def read_signature(running) -> str:
    """Return the signature of a running daemon's document."""
    return wire.get(running.address, "/latest/dynamic/instance-identity/signature").body.decode()
