"""Every kind of source, end to end: a daemon as a process, a client's view, an emulator as AWS."""

from __future__ import annotations

import base64
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from support import wire
from support.daemon import DaemonProcess, write_config, write_profile
from support.emulators import free_port
from support.fakes import KNOWN_SECRETS, SECRET_ACCESS_KEY, SESSION_TOKEN
from support.roles_anywhere import Authority, RolesAnywhere

from imds.aws.sources.saml import pick_offer

ROLE = "arn:aws:iam::111122223333:role/app"
KEYS = {"AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": KNOWN_SECRETS[0]}


def daemon(home: Path, moto_server, source: str, *, role_arn: str | None = ROLE, **environment: str) -> DaemonProcess:
    """Return a daemon with one role ``app`` of a source."""
    arn = f"role_arn: {role_arn}\n    " if role_arn else ""
    config = write_config(
        home / "imds.yaml",
        f"region: eu-west-1\nlisten: ['http://127.0.0.1:0']\nroles:\n  app:\n    {arn}source: {source}\n",
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


@pytest.mark.parametrize("section", ["", "[default]\n", "[other]\naws_access_key_id = x\n[default]\n", "[one]\n"])
def test_keys_in_lines(home, moto_server, section):
    """A file may also look like ~/.aws/credentials, with or without sections."""
    file = home / "keys"
    file.write_text(f"{section}aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = {KNOWN_SECRETS[0]}\n")
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


@pytest.mark.parametrize("pair", ["{role},{provider}", "{provider},{role}", " {role} , {provider} "])
def test_the_pair_may_be_written_either_way(pair):
    """AWS takes role and provider in any order, and so do we."""
    provider = "arn:aws:iam::111122223333:saml-provider/idp"
    text = pair.format(role=ROLE, provider=provider)
    assertion = base64.b64encode(f"<v>{text}</v>".encode()).decode()
    assert pick_offer(assertion, ROLE) == pick_offer(assertion, None) == (ROLE, provider)


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


WRITTEN = "{Version: '2012-10-17', Statement: [{Effect: Allow, Action: 's3:*', Resource: '*'}]}"
MANAGED = "arn:aws:iam::aws:policy/ReadOnlyAccess"


@pytest.mark.parametrize("how", [f"policy_arns: ['{MANAGED}']", f"policy: {WRITTEN}"], ids=["managed", "written out"])
def test_federation_token(home, moto_server, how):
    """A federated session is narrowed by its policies, managed or written out."""
    source = f"{{federation_token: {{keys: {{file: {key_file(home)}}}, name: joe, {how}, duration: 1h}}}}"
    moto_server.record()
    with daemon(home, moto_server, source, role_arn=None) as served:
        assert document(served)["Token"]
    (call,) = [call for call in moto_server.recorded() if call.get("Action") == "GetFederationToken"]
    assert (call["Name"], call["DurationSeconds"]) == ("joe", "3600")
    if "policy_arns" in how:
        assert call["PolicyArns.member.1.arn"] == MANAGED
    else:
        assert json.loads(call["Policy"])["Statement"][0]["Action"] == "s3:*"


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


@pytest.mark.parametrize("base", ["keys", "role"])
def test_assume_root(home, sts, base):
    """A member account's root is assumed for one task, by keys or by a role of ours, a quarter of an hour at a time."""
    keys = f"{{keys: {{file: {key_file(home)}}}}}"
    by = f"keys: {{file: {home / 'keys.json'}}}" if base == "keys" else "role: organization"
    task = "arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials"
    config = write_config(
        home / "imds.yaml",
        f"""\
        region: eu-west-1
        listen: ['http://127.0.0.1:0']
        roles:
          app: {{source: {{assume_root: {{{by}, target_principal: '444455556666', task_policy_arn: "{task}"}}}}}}
          organization: {{role_arn: "{ROLE}", source: {keys}}}
        """,
    )
    environment = {"AWS_ENDPOINT_URL_STS": sts.url}
    with DaemonProcess(home, "serve", "--config", str(config), environment=environment) as served:
        role = served.status()["roles"][0]
        assert document(served)["Token"]
    assert (role["arn"], role["account_id"]) == ("arn:aws:iam::444455556666:root", "444455556666")
    (call,) = [call for call in sts.calls if call["Action"] == "AssumeRoot"]
    assert call["AccessKeyId"].startswith("AKIA" if base == "keys" else "ASIA")
    assert (call["TargetPrincipal"], call["TaskPolicyArn.arn"], call["DurationSeconds"]) == (
        "444455556666",
        task,
        "900",
    )


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_roles_anywhere(home, tmp_path, kind):
    """A server's certificate opens its role, through the daemon; the answer tells AWS's time."""
    with RolesAnywhere(Authority()) as service:
        certificate, key = service.authority.issue(tmp_path, kind)
        pki = "arn:aws:rolesanywhere:eu-west-1:111122223333:{}/00000000-0000-0000-0000-000000000000"
        config = write_config(
            home / "imds.yaml",
            f"""\
            region: eu-west-1
            listen: ['http://127.0.0.1:0']
            roles:
              app:
                role_arn: "{ROLE}"
                source:
                  roles_anywhere:
                    trust_anchor_arn: "{pki.format("trust-anchor")}"
                    profile_arn: "{pki.format("profile")}"
                    certificate: {certificate}
                    private_key: {key}
            """,
        )
        environment = {"AWS_ENDPOINT_URL_ROLESANYWHERE": service.url}
        with DaemonProcess(home, "serve", "--config", str(config), environment=environment) as served:
            assert document(served)["AccessKeyId"].startswith("ASIA")
            assert served.status()["clock_skew_seconds"] is not None
    assert [asked["roleArn"] for asked in service.asked] == [ROLE]
    assert service.refused == []


class ContainerService:
    """The endpoint of ECS and EKS: gives credentials, and keeps the tokens that it was shown."""

    def __init__(self) -> None:
        self.tokens: list[str | None] = []
        service = self
        document = {
            "AccessKeyId": "ASIATASK",
            "SecretAccessKey": SECRET_ACCESS_KEY,
            "Token": SESSION_TOKEN,
            "Expiration": f"{datetime.now(UTC) + timedelta(hours=6):%Y-%m-%dT%H:%M:%SZ}",
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.tokens.append(self.headers["Authorization"])
                content = json.dumps(document).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/credentials"

    def __enter__(self) -> ContainerService:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def test_the_container_of_the_environment(home, sts):
    """What EKS names in the environment is used, and its token file is sent as it is."""
    token = home / "eks-token"
    token.write_text("pod-identity")
    with ContainerService() as service:
        environment = {
            "AWS_ENDPOINT_URL_STS": sts.url,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": service.url,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
        }
        config = write_config(
            home / "imds.yaml",
            f"""\
            region: eu-west-1
            listen: ['http://127.0.0.1:0']
            roles: {{app: {{role_arn: "{ROLE}", source: {{container: environment}}}}}}
            """,
        )
        with DaemonProcess(home, "serve", "--config", str(config), environment=environment) as served:
            assert document(served)["AccessKeyId"].startswith("ASIA")
    assert service.tokens == ["pod-identity"]
    assert [call["AccessKeyId"] for call in sts.calls] == ["ASIATASK"]


NOWHERE = "/nowhere/at-all"
_PKI = "arn:aws:rolesanywhere:eu-west-1:111122223333:{}/00000000-0000-0000-0000-000000000000"
BROKEN = {
    # source: whether it has a role_arn, the error's code, what it calls for, what is told
    "{profile: nobody}": (True, "ProfileNotFound", "config", "nobody"),
    "{keys: environment}": (
        True,
        "NoCredentials",
        "config",
        "the daemon's environment (in capitals) has no aws_access_key_id and",
    ),
    f"{{keys: {{file: {NOWHERE}}}}}": (True, "FileNotFoundError", "config", NOWHERE),
    f"{{process: {{command: [{NOWHERE}]}}}}": (True, "Program", "config", "No such file"),
    f"{{process: {{command: [echo, {SECRET_ACCESS_KEY}]}}}}": (
        *(True, "InvalidCredentialsDocument", "config", "echo did not give JSON"),
    ),
    "{process: {command: ['false']}}": (True, "Program", "retry", "false ended with status 1"),
    f"{{web_identity: {{token_file: {NOWHERE}}}}}": (True, "NoIdentityToken", "reauthenticate", "does not exist"),
    "{saml: {assertion_command: [echo, 'not base64!']}}": (
        *(True, "InvalidIdentityToken", "reauthenticate", "is not base64"),
    ),
    "{saml: {assertion_command: [echo, aGVsbG8=]}}": (True, "RoleNotOffered", "denied", "offers no role"),
    "{instance_metadata: {endpoint: 'http://127.0.0.1:9'}}": (
        *(False, "MetadataService", "retry", "gives no credentials"),
    ),
    "{container: environment}": (False, "NoContainerCredentials", "config", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
    "{container: {url: 'https://127.0.0.1:9/'}}": (False, "MetadataService", "retry", "https://127.0.0.1:9 gives"),
    "{session_token: {profile: session}}": (False, "NotLongTermKeys", "config", "long-term keys only"),
    "{profile: session}": (False, "UnknownExpiration", "config", "does not say when it ends"),
    f"{{roles_anywhere: {{trust_anchor_arn: '{_PKI.format('trust-anchor')}', profile_arn: '{_PKI.format('profile')}', "
    f"certificate: {NOWHERE}, private_key: {NOWHERE}}}}}": (True, "FileNotFoundError", "config", NOWHERE),
}


def test_broken_sources(home, moto_server):
    """Each tells what a person needs, without a traceback and without a secret; the role beside them is served."""
    write_profile(
        home, "session", aws_access_key_id="ASIA1", aws_secret_access_key="x", aws_session_token=SESSION_TOKEN
    )
    lines = [
        f"  b{number}: {{{f'role_arn: {ROLE!r}, ' if with_role else ''}source: {source}}}"
        for number, (source, (with_role, *_)) in enumerate(BROKEN.items())
    ]
    text = "region: eu-west-1\nlisten: ['http://127.0.0.1:0']\nroles:\n"
    app = f"  app: {{role_arn: '{ROLE}', source: {{profile: work}}}}\n"
    config = write_config(home / "imds.yaml", text + app + "\n".join(lines) + "\n")
    environment = {"AWS_ENDPOINT_URL": moto_server.url}
    with DaemonProcess(home, "serve", "--config", str(config), environment=environment) as served:
        assert document(served)["AccessKeyId"].startswith("ASIA")
        app, *broken = served.status()["roles"]
        shown = served.imds("status").stdout
    assert app["state"] == "ok"
    for (source, (_, code, action, told)), role in zip(BROKEN.items(), broken, strict=True):
        failure = role["failure"]
        assert failure is not None, source
        assert (failure["code"], failure["action"]) == (code, action), (source, failure)
        assert told in failure["message"], (source, failure)
        assert role["state"] == ("waiting" if action == "reauthenticate" else "unavailable")
    assert SECRET_ACCESS_KEY not in shown


def test_our_own_address_under_another_name_is_refused(home, moto_server):
    """A source that leads back to this daemon by a name that the configuration cannot see through is not asked."""
    port = free_port()
    config = write_config(
        home / "imds.yaml",
        f"""\
        region: eu-west-1
        listen: ['http://127.0.0.1:{port}']
        roles:
          app: {{source: {{instance_metadata: {{endpoint: 'http://127.1:{port}'}}}}}}
          two: {{source: {{container: {{url: 'http://127.1:{port}/role/app'}}}}}}
        """,
    )
    environment = {"AWS_ENDPOINT_URL": moto_server.url}
    with DaemonProcess(home, "serve", "--config", str(config), environment=environment) as served:
        failures = [role["failure"] for role in served.status()["roles"]]
    assert [(failure["code"], failure["action"]) for failure in failures] == [("OwnAddress", "config")] * 2
