"""What one source must not do to the roles that share it, or to those that do not."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from botocore.exceptions import HTTPClientError
from support import sts as stand_in
from support import wire
from support.daemon import DaemonProcess, write_config
from support.fakes import SECRET_ACCESS_KEY, SESSION_TOKEN
from support.issuing import utc_now

from imds.aws.clients import Clients
from imds.aws.errors import translate
from imds.aws.federated import Federated, IdentityProvider
from imds.aws.issuers import AssumedRole
from imds.aws.mfa import MfaCodes
from imds.aws.patience import Patience, Watched
from imds.aws.sources import SharedSource
from imds.aws.sources.evidence import EvidenceReader
from imds.aws.sources.profile import profile_files, sign_in_folders
from imds.aws.sources.session_token import LongTermKeys, load_session_token
from imds.aws.sources.web_identity import web_identity_federation
from imds.aws.sts import SourceCredentials
from imds.core.errors import Action, CredentialsError
from imds.core.roles import RoleSession

ARN = "arn:aws:iam::{}:role/app"
LIST = "/latest/meta-data/iam/security-credentials/"


def session(account: str = "111122223333") -> RoleSession:
    """Return a request for a role of an account."""
    return RoleSession(role_arn=ARN.format(account), role_session_name="someone-here")


@pytest.fixture
def clients(sts, profiles, monkeypatch) -> Clients:
    """Clients of the stand-in."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
    return Clients(profile=None, region="eu-west-1", measure=lambda _: None)


@pytest.fixture
def provider(clients, threads, source_clock, tmp_path) -> IdentityProvider:
    """A provider whose token is in a file."""
    token = tmp_path / "token"
    token.write_text("header.payload.signature")
    watched = Watched([token])
    return IdentityProvider(
        federation=web_identity_federation(clients, EvidenceReader(file=token)),
        threads=threads,
        clock=source_clock,
        watched=watched,
        patience=Patience(clock=source_clock, watched=watched, waits_for="a new token"),
    )


@pytest.fixture
def federated(provider, threads, source_clock, tmp_path):
    """Makes roles of the provider."""

    def make(account: str = "111122223333") -> Federated:
        patience = Patience(clock=source_clock, watched=Watched([tmp_path / "token"]), waits_for="a new token")
        return Federated(session=session(account), provider=provider, threads=threads, patience=patience)

    return make


async def test_one_accounts_refusal_is_its_own(federated, sts):
    """An account that does not know the provider does not keep the roles of another from it."""
    unknown = stand_in.error("InvalidIdentityToken", "No OpenIDConnect provider found in your account", status=400)
    sts.behaviour = lambda call: unknown(call) if "444455556666" in call["RoleArn"] else sts.session(call)
    good = federated()
    bad = federated("444455556666")
    for _ in range(3):
        with pytest.raises(CredentialsError, match="No OpenIDConnect"):
            await bad.issue(utc_now())
        assert (await good.issue(utc_now())).access_key_id
    assert len(sts.calls) == 4


async def test_a_token_that_is_too_old_is_sent_once_for_all(federated, sts):
    """Ten roles of one stale token: all wait for another, and it counts as one failure."""
    sts.behaviour = stand_in.error("ExpiredTokenException", status=400)
    roles = [federated() for _ in range(10)]
    failures = await asyncio.gather(*(role.issue(utc_now()) for role in roles), return_exceptions=True)
    assert {failure.code for failure in failures} == {"ExpiredTokenException"}
    assert {failure.in_a_row for failure in failures} <= {None, 1}
    calls = len(sts.calls)
    with pytest.raises(CredentialsError) as caught:
        await roles[0].issue(utc_now())
    assert caught.value.waits_for == "a new token"
    assert len(sts.calls) == calls


@pytest.mark.parametrize("code", ["InvalidIdentityToken", "AccessDenied"])
async def test_a_new_token_after_a_refusal(federated, sts, source_clock, tmp_path, code):
    """A role that AWS refuses asks no more until the token's file changes, and then at once."""
    role = federated()
    sts.behaviour = stand_in.error(code, "Not this token", status=400)
    for _ in range(3):
        with pytest.raises(CredentialsError, match="Not this token") as caught:
            await role.issue(utc_now())
        assert caught.value.again_after <= timedelta(seconds=5)
    assert caught.value.waits_for == ("a new token" if code == "InvalidIdentityToken" else None)
    assert len(sts.calls) == 1
    sts.behaviour = sts.session
    (tmp_path / "token").write_text("header.payload.another")
    await source_clock.advance(timedelta(seconds=5))
    assert (await role.issue(utc_now())).access_key_id


async def test_a_provider_that_aws_cannot_reach_passes(federated, sts):
    """AWS says with the code of a bad token that it could not get the provider's keys: nobody has to sign in."""
    sts.behaviour = stand_in.error(
        "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider", status=400
    )
    with pytest.raises(CredentialsError) as caught:
        await federated().issue(utc_now())
    assert caught.value.action is Action.RETRY


async def test_a_wrong_clock_asks_for_no_mfa_code(clients, threads, source_clock, sts):
    """A signature refused for its time is not mended by another session, so nobody is asked for a code."""
    keys = SourceCredentials(
        access_key_id="AKIA1", secret_access_key=SECRET_ACCESS_KEY, session_token=None, expiration=None
    )
    codes = MfaCodes("arn:aws:iam::111122223333:mfa/me")
    codes.give("123456")
    source = SharedSource(
        load=lambda: load_session_token(
            LongTermKeys(load=lambda: keys, clients=clients),
            duration=timedelta(hours=12),
            mfa_serial="arn:aws:iam::111122223333:mfa/me",
            codes=codes,
        ),
        clients=clients,
        threads=threads,
        clock=source_clock,
        watched=Watched(),
        patience=Patience(clock=source_clock),
    )
    expired = stand_in.error("SignatureDoesNotMatch", "Signature expired: it is now earlier", status=403)
    sts.behaviour = lambda call: expired(call) if call["Action"] == "AssumeRole" else sts.session(call)
    issuer = AssumedRole(session=session(), source=source, threads=threads)
    await source_clock.advance(timedelta(hours=1))
    with pytest.raises(CredentialsError) as caught:
        await issuer.issue(utc_now())
    assert caught.value.action is Action.CLOCK


async def test_programs_that_hang_keep_nobody_from_sts(threads, clients, sts):
    """However many sources hang, a role whose source is open gets its session."""
    release = threading.Event()
    hanging = [asyncio.ensure_future(threads.load(release.wait)) for _ in range(40)]
    await asyncio.sleep(0)
    keys = SourceCredentials(
        access_key_id="AKIA1", secret_access_key=SECRET_ACCESS_KEY, session_token=None, expiration=None
    )
    opened = await threads.call(lambda: clients.sts(keys))
    answer = await threads.ask_for_session(
        lambda: opened.call("assume_role", RoleArn=ARN.format("111122223333"), RoleSessionName="xx")
    )
    assert answer["Credentials"]
    release.set()
    await asyncio.gather(*hanging)


@pytest.mark.parametrize("broken", ["FIRST\nSECOND", "FIRST\r\nX: y", "FIRST\x00", "FIRST\u2028"])
def test_a_key_with_a_line_break_is_refused_before_anything_repeats_it(broken):
    """What no header can hold is not tried: the failure to send it would repeat it."""
    for parts in ({"session_token": broken}, {"secret_access_key": broken}, {"access_key_id": broken}):
        made = {"access_key_id": "A", "secret_access_key": "s", "session_token": None, "expiration": None} | parts
        with pytest.raises(CredentialsError) as caught:
            SourceCredentials(**made)
        assert "FIRST" not in str(caught.value)


def test_a_request_that_could_not_be_sent_is_not_repeated():
    """Botocore's words for it hold the headers."""
    failure = translate(HTTPClientError(error=ValueError(f"Invalid header value b'{SESSION_TOKEN}\\nx'")))
    assert SESSION_TOKEN not in str(failure)


class MetadataService:
    """An upstream whose document ends when a test says."""

    def __init__(self, left: timedelta) -> None:
        service = self
        self.expiration = datetime.now(UTC) + left

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                self.answer("token")

            def do_GET(self) -> None:
                document = {
                    "Code": "Success",
                    "AccessKeyId": "ASIAUPSTREAM",
                    "SecretAccessKey": SECRET_ACCESS_KEY,
                    "Token": SESSION_TOKEN,
                    "Expiration": f"{service.expiration:%Y-%m-%dT%H:%M:%SZ}",
                }
                self.answer("role" if self.path.endswith("/") else json.dumps(document))

            def answer(self, text: str) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> MetadataService:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.mark.parametrize("left", [timedelta(minutes=2), timedelta(hours=-3)], ids=["ending", "ended"])
def test_an_upstream_document_is_not_made_to_live_longer(home, sts, left):
    """Botocore believes that such a document lives a quarter of an hour on; what we publish is its true end."""
    with MetadataService(left) as upstream:
        config = write_config(
            home / "imds.yaml",
            "region: eu-west-1\nlisten: ['http://127.0.0.1:0']\n"
            f"roles: {{app: {{source: {{instance_metadata: {{endpoint: '{upstream.url}'}}}}}}}}\n",
        )
        environment = {"AWS_ENDPOINT_URL_STS": sts.url}
        with DaemonProcess(home, "serve", "--config", str(config), environment=environment) as served:
            (role,) = served.status()["roles"]
            reply = wire.get(served.address, LIST + "app")
    if left > timedelta():
        assert role["expiration"] == f"{upstream.expiration:%Y-%m-%dT%H:%M:%SZ}"
    else:
        assert (role["failure"]["code"], role["failure"]["action"]) == ("ExpiredToken", "retry")
        assert reply.status == 503


def test_another_second_region_costs_no_session(home, sts):
    """A reload that changes where else STS is asked keeps every session."""
    config = home / "imds.yaml"
    text = (
        "region: eu-west-1\nlisten: ['http://127.0.0.1:0']\nroles: {app: {role_arn: '%s', source: {profile: work}}}\n"
    )
    write_config(config, text % ARN.format("111122223333"))
    environment = {"AWS_ENDPOINT_URL_STS": sts.url}
    with DaemonProcess(home, "serve", "--config", str(config), environment=environment) as served:
        before = served.status()["roles"][0]["access_key_id"]
        write_config(config, "sts_second_region: none\n" + text % ARN.format("111122223333"))
        served.imds("reload")
        assert served.status()["roles"][0]["access_key_id"] == before
    assert len(sts.calls) == 1


def test_a_user_without_a_home(monkeypatch):
    """A uid that no file knows, without HOME, as containers have it: what the environment names is all there is."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _uid: (_ for _ in ()).throw(KeyError("no such user")))
    named = {"AWS_CONFIG_FILE": "/etc/aws/config", "AWS_SHARED_CREDENTIALS_FILE": "/etc/aws/credentials"}
    assert profile_files(named) == (Path("/etc/aws/config"), Path("/etc/aws/credentials"))
    assert profile_files({}) == (Path("~/.aws/config"), Path("~/.aws/credentials"))
    assert sign_in_folders({})
