"""Every kind of source, end to end: a daemon as a process, a client's view, an emulator as AWS."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import boto3
import pytest
from support import wire
from support.daemon import DaemonProcess, write_config
from support.fakes import KNOWN_SECRETS

from imds.aws.sources.saml import find_principal

ROLE = "arn:aws:iam::111122223333:role/app"
KEYS = {"AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": KNOWN_SECRETS[0]}


def daemon(home: Path, moto_server, source: str, *, role_arn: str | None = ROLE, **environment: str) -> DaemonProcess:
    """Return a daemon with one role ``app`` of a source."""
    arn = f"role_arn: {role_arn}\n" if role_arn else "duration: 1h\n"
    config = write_config(
        home / "imds.yaml",
        f"region: eu-west-1\nlisten: ['http://127.0.0.1:0']\nroles:\n  app:\n    {arn}    source: {source}\n",
    )
    aws = {"AWS_ENDPOINT_URL": moto_server.url} | environment
    return DaemonProcess(home, "serve", "--config", str(config), environment=aws)


def document(served: DaemonProcess) -> dict[str, str]:
    """Return what a client of the metadata service gets."""
    reply = wire.get(served.address, "/latest/meta-data/iam/security-credentials/app")
    assert reply.status == 200, served.log
    return json.loads(reply.body)


def key_file(home: Path) -> Path:
    """Return a file with made-up long-term keys."""
    file = home / "keys.json"
    file.write_text(json.dumps(KEYS))
    return file


def test_keys_in_a_file(home, moto_server):
    """A role is assumed with the keys of a JSON file."""
    with daemon(home, moto_server, f"{{keys: {{file: {key_file(home)}}}}}") as served:
        assert document(served)["AccessKeyId"].startswith("ASIA")


def test_keys_in_lines(home, moto_server):
    """A file may also look like ~/.aws/credentials, with or without a section."""
    file = home / "keys"
    file.write_text(f"aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = {KNOWN_SECRETS[0]}\n")
    with daemon(home, moto_server, f"{{keys: {{file: {file}}}}}") as served:
        assert document(served)["AccessKeyId"].startswith("ASIA")


def test_keys_in_the_environment(home, moto_server):
    """A role is assumed with AWS_ACCESS_KEY_ID and its companions."""
    keys = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": KNOWN_SECRETS[0]}
    with daemon(home, moto_server, "{keys: environment}", **keys) as served:
        assert document(served)["AccessKeyId"].startswith("ASIA")


def test_process(home, moto_server):
    """A role is assumed with what a program prints."""
    with daemon(home, moto_server, f"{{process: {{command: [cat, {key_file(home)}]}}}}") as served:
        assert document(served)["AccessKeyId"].startswith("ASIA")


def test_web_identity_sends_the_token_as_it_is(home, moto_server):
    """The token goes to STS untouched, and with none of our keys."""
    token = home / "token"
    token.write_text("header.payload.signature\n")
    moto_server.record()
    with daemon(home, moto_server, f"{{web_identity: {{token_file: {token}}}}}") as served:
        assert document(served)["AccessKeyId"].startswith("ASIA")
    (call,) = [call for call in moto_server.recorded() if call.get("Action") == "AssumeRoleWithWebIdentity"]
    assert call["WebIdentityToken"] == "header.payload.signature"
    assert call["RoleArn"] == ROLE


def test_web_identity_waits_for_its_token(home, moto_server):
    """Without its token file a role waits for a person, and goes on by itself once the file is there."""
    token = home / "token"
    with daemon(home, moto_server, f"{{web_identity: {{token_file: {token}}}}}") as served:
        assert wire.get(served.address, "/latest/meta-data/iam/security-credentials/").status == 404
        assert served.status()["roles"][0]["state"] == "waiting"
        token.write_text("header.payload.signature")
        served.wait_for_log("new session")
        assert document(served)["AccessKeyId"].startswith("ASIA")


SAML = """\
<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">
<saml:Assertion><saml:AttributeStatement>
<saml:Attribute Name="https://aws.amazon.com/SAML/Attributes/Role">
<saml:AttributeValue>arn:aws:iam::111122223333:saml-provider/one,arn:aws:iam::111122223333:role/other</saml:AttributeValue>
</saml:Attribute>
<saml:Attribute Name="https://aws.amazon.com/SAML/Attributes/Role">
<saml:AttributeValue>arn:aws:iam::111122223333:role/app,arn:aws:iam::111122223333:saml-provider/idp</saml:AttributeValue>
</saml:Attribute>
<saml:Attribute Name="https://aws.amazon.com/SAML/Attributes/RoleSessionName">
<saml:AttributeValue>alice</saml:AttributeValue></saml:Attribute>
</saml:AttributeStatement></saml:Assertion></samlp:Response>
"""


def test_saml_picks_the_provider(home, moto_server):
    """The provider's ARN comes from the assertion: the pair that names the role."""
    assertion = home / "assertion"
    assertion.write_bytes(base64.encodebytes(SAML.encode()))
    moto_server.record()
    with daemon(home, moto_server, f"{{saml: {{assertion_command: [cat, {assertion}]}}}}") as served:
        assert document(served)["AccessKeyId"].startswith("ASIA")
    (call,) = [call for call in moto_server.recorded() if call.get("Action") == "AssumeRoleWithSAML"]
    assert call["PrincipalArn"] == "arn:aws:iam::111122223333:saml-provider/idp"
    assert base64.b64decode(call["SAMLAssertion"]) == SAML.encode()


@pytest.mark.parametrize("pair", ["{role},{provider}", "{provider},{role}", " {role} , {provider} "])
def test_the_pair_may_be_written_either_way(pair):
    """AWS takes role and provider in any order, and so do we."""
    provider = "arn:aws:iam::111122223333:saml-provider/idp"
    text = pair.format(role=ROLE, provider=provider)
    assert find_principal(base64.b64encode(f"<v>{text}</v>".encode()).decode(), ROLE) == provider


def test_saml_without_the_role(home, moto_server):
    """An assertion that does not offer the role is denied before AWS is asked, and the offer is told."""
    assertion = home / "assertion"
    assertion.write_bytes(base64.b64encode(SAML.replace("role/app", "role/third").encode()))
    with daemon(home, moto_server, f"{{saml: {{assertion_file: {assertion}}}}}") as served:
        (role,) = served.status()["roles"]
        assert role["failure"]["action"] == "denied"
        assert "role/third" in role["failure"]["message"]


def test_session_token_is_asked_once_for_all_its_roles(home, moto_server):
    """GetSessionToken serves every role that names the same source."""
    source = f"{{session_token: {{keys: {{file: {key_file(home)}}}}}}}"
    config = write_config(
        home / "imds.yaml",
        f"""\
        region: eu-west-1
        listen: ['http://127.0.0.1:0']
        roles:
          app: {{role_arn: "{ROLE}", source: {source}}}
          two: {{role_arn: "{ROLE}2", source: {source}}}
        """,
    )
    moto_server.record()
    environment = {"AWS_ENDPOINT_URL": moto_server.url}
    with DaemonProcess(home, "serve", "--config", str(config), environment=environment) as served:
        assert document(served)["AccessKeyId"].startswith("ASIA")
    actions = [call.get("Action") for call in moto_server.recorded()]
    assert sorted(actions) == ["AssumeRole", "AssumeRole", "GetSessionToken"]


def test_federation_token(home, moto_server):
    """A federated session is narrowed by its policies."""
    policy = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    source = f"{{federation_token: {{keys: {{file: {key_file(home)}}}, name: joe, policy_arns: ['{policy}']}}}}"
    moto_server.record()
    with daemon(home, moto_server, source, role_arn=None) as served:
        assert document(served)["Token"]
    (call,) = [call for call in moto_server.recorded() if call.get("Action") == "GetFederationToken"]
    assert (call["Name"], call["PolicyArns.member.1.arn"]) == ("joe", policy)


@pytest.fixture
def identity_pool(moto_server) -> str:
    """An identity pool that lets guests in."""
    client = boto3.client(
        "cognito-identity",
        endpoint_url=moto_server.url,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    pool = client.create_identity_pool(IdentityPoolName="p", AllowUnauthenticatedIdentities=True)
    return pool["IdentityPoolId"]


@pytest.mark.parametrize("flow", ["enhanced", "classic"])
def test_cognito(home, moto_server, identity_pool, flow):
    """An identity pool's credentials are served (enhanced), or a role is assumed with its token (classic)."""
    source = f"{{cognito: {{identity_pool_id: '{identity_pool}', flow: {flow}}}}}"
    with daemon(home, moto_server, source, role_arn=ROLE if flow == "classic" else None) as served:
        assert document(served)["Token"]


def test_upstream_instance_metadata(home, moto_server, served):
    """A daemon beside another metadata service assumes a role with that one's credentials."""
    source = f"{{instance_metadata: {{endpoint: '{served.url}'}}}}"
    with daemon(home / "downstream", moto_server, source) as downstream:
        assert document(downstream)["AccessKeyId"].startswith("ASIA")


def test_upstream_container_credentials(home, moto_server, served):
    """Likewise with container credentials, whose token is in a file."""
    lines = served.imds("env", "app", "--shell", "dotenv").stdout.splitlines()
    variables = dict(line.split("=", 1) for line in lines)
    token = home / "token"
    token.write_text(variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"])
    source = f"{{container: {{url: '{variables['AWS_CONTAINER_CREDENTIALS_FULL_URI']}', token_file: {token}}}}}"
    with daemon(home / "downstream", moto_server, source) as downstream:
        assert document(downstream)["AccessKeyId"].startswith("ASIA")


def test_read_only(home, moto_server):
    """``read_only`` narrows a session to AWS's ReadOnlyAccess policy."""
    moto_server.record()
    with daemon(home, moto_server, f"{{keys: {{file: {key_file(home)}}}}}\n    read_only: true") as served:
        assert document(served)["Token"]
    (call,) = [call for call in moto_server.recorded() if call.get("Action") == "AssumeRole"]
    assert call["PolicyArns.member.1.arn"] == "arn:aws:iam::aws:policy/ReadOnlyAccess"
