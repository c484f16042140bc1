"""Federated sign-in, end to end: tokens of a real issuer, assertions that are really signed, identity pools."""

from __future__ import annotations

import getpass
import itertools
import json
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from support.daemon import DaemonProcess, clean_environment, write_config
from support.identity_providers import OidcIssuer, SamlProvider

ACCOUNT = "000000000000"
ROLE = "arn:aws:iam::111122223333:role/app"
PROVIDER = "arn:aws:iam::111122223333:saml-provider/idp"
WHO_AM_I = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
WHICH_KEY = "import boto3; print(boto3.Session().get_credentials().access_key)"
MAKE_BUCKET = (
    "import boto3, sys; boto3.client('s3').create_bucket("
    "Bucket=sys.argv[1], CreateBucketConfiguration={'LocationConstraint': 'eu-west-1'})"
)
ANYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
_numbers = itertools.count(1)


def policy(statement: dict[str, object]) -> str:
    """Return a policy of one statement."""
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def root(server, service: str):
    """Return a client of the emulator's root user."""
    return boto3.session.Session("test", "test", region_name="eu-west-1").client(service, endpoint_url=server.url)


def daemon(home: Path, server, roles: str, **environment: str) -> DaemonProcess:
    """Return a daemon with some roles, and an emulator as AWS."""
    config = write_config(
        home / "imds.yaml", f"region: eu-west-1\nlisten: ['http://127.0.0.1:0']\nroles: {{{roles}}}\n"
    )
    return DaemonProcess(
        home, "serve", "--config", str(config), environment={"AWS_ENDPOINT_URL": server.url} | environment
    )


def who_am_i(served: DaemonProcess, server) -> str:
    """Return the ARN that the emulator sees behind boto3's credentials."""
    done = run_client(served, server, WHO_AM_I)
    assert done.returncode == 0, f"{done.stderr}\n{served.log}"
    return done.stdout.strip()


def run_client(
    served: DaemonProcess, server, program: str, *arguments: str, role: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run boto3 with nothing but the daemon to give it credentials, of the default role or of another."""
    way = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": served.url}
    if role is not None:
        lines = served.imds("env", role, "--shell", "dotenv").stdout.splitlines()
        way = {name: value for name, _, value in (line.partition("=") for line in lines) if value}
    environment = (
        clean_environment(served.home / "client")
        | way
        | {
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL": server.url,
        }
    )
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def issuer():
    """A real OIDC issuer."""
    with OidcIssuer() as running:
        yield running


@pytest.fixture
def oidc_role(issuer, ministack_server) -> str:
    """A role that trusts the issuer's tokens for one audience; returns its ARN."""
    iam = root(ministack_server, "iam")
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer.name}"
    if provider not in [one["Arn"] for one in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]]:
        iam.create_open_id_connect_provider(
            Url=f"http://{issuer.name}", ClientIDList=["sts-app"], ThumbprintList=["0" * 40]
        )
    name = f"ci-{next(_numbers)}"
    trust = {
        "Effect": "Allow",
        "Principal": {"Federated": provider},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{issuer.name}:aud": "sts-app"}},
    }
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy(ANYTHING))
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def test_a_token_of_a_real_issuer(home, issuer, ministack_server, oidc_role):
    """A CI job's token assumes the role that trusts its issuer and audience, and boto3 signs with the session."""
    token = home / "token"
    token.write_text(issuer.token("sts-app"))
    role = f"app: {{role_arn: '{oidc_role}', source: {{web_identity: {{token_file: {token}}}}}}}"
    with daemon(home, ministack_server, role) as served:
        arn = who_am_i(served, ministack_server)
    assert arn.startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/{oidc_role.rpartition('/')[2]}/")


def test_a_chain_that_begins_with_a_token(home, issuer, ministack_server, oidc_role):
    """A program fetches the token; its role assumes another, whole and made smaller: the small one may not write."""
    iam = root(ministack_server, "iam")
    name = f"small-{next(_numbers)}"
    trust = {"Effect": "Allow", "Principal": {"AWS": oidc_role}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy(ANYTHING))
    script = home / "fetch.py"
    script.write_text(
        "import json, urllib.request as r\n"
        "form = b'grant_type=client_credentials&scope=x&aud=sts-app'\n"
        f"print(json.load(r.urlopen('http://127.0.0.1:{issuer.port}/token', form))['access_token'])\n"
    )
    chain = (
        f"ci: {{role_arn: '{oidc_role}', "
        f"source: {{web_identity: {{token_command: ['{sys.executable}', {script}]}}}}}}, "
        f"whole: {{role_arn: 'arn:aws:iam::{ACCOUNT}:role/{name}', source: {{role: ci}}}}, "
        f"small: {{role_arn: 'arn:aws:iam::{ACCOUNT}:role/{name}', source: {{role: ci}}, policy: "
        "{Version: '2012-10-17', Statement: [{Effect: Allow, Action: 's3:List*', Resource: '*'}]}}"
    )
    bucket = f"made-{next(_numbers)}"
    with daemon(home, ministack_server, chain) as served:
        asked = {role["name"]: role["access_key_id"] for role in served.status()["roles"]}
        whole = run_client(served, ministack_server, MAKE_BUCKET, bucket, role="whole")
        small = run_client(served, ministack_server, MAKE_BUCKET, f"{bucket}-2", role="small")
    assert len(set(asked.values())) == 3
    assert whole.returncode == 0, whole.stderr
    assert "AccessDenied" in small.stderr


def test_a_token_session_is_narrowed(home, moto_server):
    """Session policies and the session's name go with a token; STS is told what is to be made smaller."""
    token = home / "token"
    token.write_text("header.payload.signature")
    moto_server.record()
    role = f"app: {{role_arn: '{ROLE}', read_only: true, source: {{web_identity: {{token_file: {token}}}}}}}"
    with daemon(home, moto_server, role) as served:
        assert served.status()["roles"][0]["state"] == "ok"
    (call,) = [call for call in moto_server.recorded() if call.get("Action") == "AssumeRoleWithWebIdentity"]
    assert call["PolicyArns.member.1.arn"] == "arn:aws:iam::aws:policy/ReadOnlyAccess"
    assert call["RoleSessionName"].startswith(f"{getpass.getuser()}-")


def test_a_token_for_somebody_else(home, issuer, ministack_server, oidc_role):
    """A token for another audience is denied in AWS's words, and no other role is touched by it."""
    wrong, right = home / "wrong", home / "right"
    wrong.write_text(issuer.token("another-audience"))
    right.write_text(issuer.token("sts-app"))
    roles = ", ".join(
        f"{name}: {{role_arn: '{oidc_role}', source: {{web_identity: {{token_file: {file}}}}}}}"
        for name, file in (("app", right), ("other", wrong))
    )
    with daemon(home, ministack_server, roles) as served:
        app, other = served.status()["roles"]
    assert (app["state"], app["failure"]) == ("ok", None)
    assert other["access_key_id"] is None
    assert other["failure"]["code"] in ("AccessDenied", "InvalidIdentityToken")


@pytest.mark.parametrize("written", [True, False], ids=["role_arn", "the only one offered"])
def test_a_signed_assertion(home, moto_server, written):
    """A signed assertion reaches STS as it was signed; the provider, and the role too, are picked from it."""
    idp = SamlProvider()
    assertion = home / "assertion"
    assertion.write_bytes(idp.assertion(f"{PROVIDER},{ROLE}"))
    moto_server.record()
    role = f"app: {{{f'role_arn: {ROLE!r}, ' if written else ''}source: {{saml: {{assertion_file: {assertion}}}}}}}"
    with daemon(home, moto_server, role) as served:
        (told,) = served.status()["roles"]
        key = run_client(served, moto_server, WHICH_KEY).stdout.strip()
    assert (told["state"], told["arn"], told["access_key_id"]) == ("ok", ROLE, key)
    (call,) = [call for call in moto_server.recorded() if call.get("Action") == "AssumeRoleWithSAML"]
    assert (call["PrincipalArn"], call["RoleArn"]) == (PROVIDER, ROLE)
    idp.verify(call["SAMLAssertion"])


def test_an_assertion_with_a_choice(home, moto_server):
    """Without role_arn an assertion that offers several roles is told with all it offers."""
    assertion = home / "assertion"
    assertion.write_bytes(SamlProvider().assertion(f"{PROVIDER},{ROLE}", f"{PROVIDER},{ROLE}-two"))
    with daemon(home, moto_server, f"app: {{source: {{saml: {{assertion_file: {assertion}}}}}}}") as served:
        (role,) = served.status()["roles"]
    assert role["failure"]["action"] == "denied"
    assert role["failure"]["message"].endswith(f"name one as role_arn; it offers {ROLE}, {ROLE}-two")


def test_an_identity_pool_with_a_login(home, issuer, ministack_server):
    """An identity pool's session, got with a real issuer's token, signs a call that the emulator checks."""
    cognito = root(ministack_server, "cognito-identity")
    pool = cognito.create_identity_pool(
        IdentityPoolName=f"pool{next(_numbers)}",
        AllowUnauthenticatedIdentities=False,
        OpenIdConnectProviderARNs=[f"arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer.name}"],
    )["IdentityPoolId"]
    token = home / "token"
    token.write_text(issuer.token("sts-app"))
    login = f"logins: {{'{issuer.name}': {{token_file: {token}}}}}"
    with daemon(
        home, ministack_server, f"app: {{source: {{cognito: {{identity_pool_id: '{pool}', {login}}}}}}}"
    ) as served:
        arn = who_am_i(served, ministack_server)
    assert "CognitoIdentityCredentials" in arn
