"""IAM Roles Anywhere: signatures that a verifier written from AWS's documentation accepts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes
from support.fakes import SECRET_ACCESS_KEY
from support.roles_anywhere import Authority, RolesAnywhere

from imds.aws.clients import Clients
from imds.aws.errors import translate
from imds.aws.sources.roles_anywhere import Certificates, roles_anywhere_federation
from imds.core.errors import Action, CredentialsError
from imds.core.roles import RoleSession

SESSION = RoleSession(role_arn="arn:aws:iam::111122223333:role/app", role_session_name="server-1")
ANCHOR = "arn:aws:rolesanywhere:eu-west-1:111122223333:trust-anchor/00000000-0000-0000-0000-000000000000"
PROFILE = "arn:aws:rolesanywhere:eu-west-1:111122223333:profile/00000000-0000-0000-0000-000000000000"


@pytest.fixture
def service(monkeypatch):
    """The verifier, in the place of AWS."""
    with RolesAnywhere(Authority()) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_ROLESANYWHERE", running.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield running


def exchange(certificate, key, chain=None, *, session=SESSION, now=None):
    """Ask for a session with a certificate."""
    anchor = Certificates(
        trust_anchor_arn=ANCHOR, profile_arn=PROFILE, certificate=certificate, private_key=key, chain=chain
    )
    clients = Clients(profile=None, region=None, measure=lambda _: None)
    made = roles_anywhere_federation(anchor, clients)
    try:
        return made.assume(made.read(), session, timedelta(hours=1), now or datetime.now(UTC))
    except ClientError as error:
        raise translate(error) from error


@pytest.mark.parametrize("kind", ["rsa", "ec"])
@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()], ids=lambda made: made.name)
def test_accepted(service, tmp_path, kind, algorithm):
    """RSA and EC keys sign with SHA-256, whatever hash the authority signed the certificate with."""
    credentials = exchange(*service.authority.issue(tmp_path, kind, algorithm))
    assert (credentials.secret_access_key, credentials.account_id) == (SECRET_ACCESS_KEY, "111122223333")
    (asked,) = service.asked
    assert asked == {
        "durationSeconds": 3600,
        "profileArn": PROFILE,
        "roleArn": SESSION.role_arn,
        "roleSessionName": "server-1",
        "trustAnchorArn": ANCHOR,
    }


@pytest.mark.parametrize("where", ["same file", "own file"])
def test_intermediates(service, tmp_path, where):
    """Intermediates are sent, from the certificate's file or from one of their own."""
    intermediate = Authority("intermediate", parent=service.authority)
    certificate, key = intermediate.issue(tmp_path)
    chain = None
    if where == "own file":
        chain = tmp_path / "chain.pem"
        chain.write_bytes(intermediate.pem)
    else:
        certificate.write_bytes(certificate.read_bytes() + intermediate.pem)
    exchange(certificate, key, chain)
    assert len(service.asked) == 1


def test_no_session_name_is_sent_unless_configured(service, tmp_path):
    """Roles Anywhere refuses a session name where the profile does not accept one, so it is sent only when written."""
    exchange(*service.authority.issue(tmp_path), session=replace(SESSION, role_session_name=None))
    (asked,) = service.asked
    assert "roleSessionName" not in asked


def test_a_certificate_that_has_ended_waits_for_another(service, tmp_path):
    """A certificate past its end is not sent: whoever rotates it has to act."""
    with pytest.raises(CredentialsError, match=r"server\.pem ended at") as caught:
        exchange(*service.authority.issue(tmp_path), now=datetime.now(UTC) + timedelta(days=2))
    assert caught.value.action is Action.REAUTHENTICATE
    assert service.asked == service.refused == []


def test_a_stranger_is_denied(service, tmp_path):
    """A certificate of another authority is denied, in AWS's words."""
    with pytest.raises(CredentialsError, match="Untrusted") as caught:
        exchange(*Authority("stranger").issue(tmp_path))
    assert caught.value.action is Action.DENIED


def test_half_a_rotation_is_tried_again(service, tmp_path):
    """A key that does not belong to the certificate is not sent; the next try may find the pair."""
    certificate, _ = service.authority.issue(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    _, key = service.authority.issue(other)
    with pytest.raises(CredentialsError, match="half a rotation") as caught:
        exchange(certificate, key)
    assert caught.value.action is Action.RETRY
    assert service.asked == service.refused == []


def test_a_rotated_pair_is_used_at_once(service, tmp_path):
    """Files are read at each renewal."""
    certificate, key = service.authority.issue(tmp_path, "rsa")
    exchange(certificate, key)
    service.authority.issue(tmp_path, "ec")
    exchange(certificate, key)
    assert len(service.asked) == 2


@pytest.mark.parametrize("content", [b"", b"not PEM", b"\xff\xfe"])
def test_what_is_no_certificate(service, tmp_path, content):
    """A file that is no PEM is told as a configuration mistake."""
    certificate, key = service.authority.issue(tmp_path)
    certificate.write_bytes(content)
    with pytest.raises(CredentialsError, match="is not PEM") as caught:
        exchange(certificate, key)
    assert caught.value.action is Action.CONFIG
