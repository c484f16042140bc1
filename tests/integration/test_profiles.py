"""Everything a profile of ``~/.aws`` can say, through botocore's own providers."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta
from functools import partial

import pytest
from support import sts as stand_in
from support.daemon import DaemonProcess, write_config, write_profile
from support.fakes import SECRET_ACCESS_KEY, SESSION_TOKEN
from support.issuing import utc_now
from support.sso import StandInSso, sign_in, token_file

from imds.aws.issuers import OwnSession
from imds.aws.programs import run_program
from imds.aws.sources import profile as profile_source
from imds.core.errors import CredentialsError

ROLE = "arn:aws:iam::111122223333:role/app"
LATER = "2099-01-01T00:00:00Z"
GOOD = {
    "Version": 1,
    "AccessKeyId": "ASIAPROCESS",
    "SecretAccessKey": "abcd",
    "SessionToken": "tok",
    "Expiration": LATER,
}


@pytest.fixture(autouse=True)
def asks_the_stand_in(profiles, sts, monkeypatch):
    """STS is the stand-in."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)


def program(directory, code: str) -> str:
    """Return a command line that runs ``code``."""
    file = directory / "credentials.py"
    file.write_text(code)
    return f"{sys.executable} {file}"


async def failure_of_opening(source) -> CredentialsError:
    """Return why the source gives nothing."""
    with pytest.raises(CredentialsError) as caught:
        await source.open(utc_now())
    return caught.value


def actions(sts) -> list[str]:
    """Return the names of the calls."""
    return [call["Action"] for call in sts.calls]


async def test_static_keys(profiles, source, sts):
    """Keys of a profile are taken as they are, without a call."""
    write_profile(profiles, aws_access_key_id="AKIASTATIC", aws_secret_access_key="abcd")
    opened = await source().open(utc_now())
    assert (opened.credentials.access_key_id, opened.credentials.temporary) == ("AKIASTATIC", False)
    assert sts.calls == []


async def test_keys_of_the_environment(profiles, source, monkeypatch):
    """Without a profile the chain of AWS holds: the environment comes first."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abcd")
    assert (await source(None).open(utc_now())).credentials.access_key_id == "AKIAENVIRONMENT"


async def test_a_chain_of_profiles(profiles, source, sts):
    """A profile that assumes a role with one that assumes a role makes both calls, with the profile's own options."""
    write_profile(profiles, "keys", aws_access_key_id="AKIAKEYS", aws_secret_access_key="abcd")
    write_profile(profiles, "middle", role_arn=f"{ROLE}1", source_profile="keys", external_id="partner")
    write_profile(profiles, role_arn=f"{ROLE}2", source_profile="middle", role_session_name="me")
    opened = await source().open(utc_now())
    assert opened.credentials.temporary
    assert opened.credentials.expiration is not None
    assert [call["RoleArn"] for call in sts.calls] == [f"{ROLE}1", f"{ROLE}2"]
    assert (sts.calls[0]["ExternalId"], sts.calls[1]["RoleSessionName"]) == ("partner", "me")


async def test_web_identity(profiles, source, source_clock, sts, threads):
    """A token file is passed on as it is, and read again for the next session."""
    token = profiles / "token"
    token.write_text("first.token.value")
    write_profile(profiles, role_arn=ROLE, web_identity_token_file=str(token))
    issuer = OwnSession(duration=timedelta(hours=1), source=source(), threads=threads)
    first = await issuer.issue(utc_now())
    token.write_text("second.token.value")
    await source_clock.advance(timedelta(minutes=1))
    second = await issuer.issue(utc_now())
    assert first.access_key_id != second.access_key_id
    sent = [call["WebIdentityToken"] for call in sts.calls if call["Action"] == "AssumeRoleWithWebIdentity"]
    assert sent == ["first.token.value", "second.token.value"]
    token.unlink()
    await source_clock.advance(timedelta(minutes=1))
    with pytest.raises(CredentialsError, match="FileNotFoundError"):
        await issuer.issue(utc_now())


def test_sso(home, sts):
    """Each state of an SSO sign-in is served or told: live, to be renewed, given up, revoked, missing, not assigned."""
    live = timedelta(hours=2)
    for name, left in {"live": live, "renewed": timedelta(minutes=1), "revoked": live, "forbidden": live}.items():
        sign_in(home, name, left=left)
    sign_in(home, "missing", left=None)
    sign_in(home, "ended", left=timedelta(minutes=-1), refresh_token="bad")
    before = token_file(home, "renewed").read_text()
    names = ["live", "renewed", "revoked", "forbidden", "missing", "ended"]
    roles = "".join(f"  {name}: {{source: {{profile: {name}}}}}\n" for name in names)
    text = f"listen: ['http://127.0.0.1:0']\nregion: eu-west-1\nroles:\n{roles}instances: {{default: {{role: live}}}}\n"
    config = write_config(home / "imds.yaml", text)
    with StandInSso() as sso:
        environment = {"AWS_ENDPOINT_URL_STS": sts.url} | sso.environment
        with DaemonProcess(home, "serve", "--config", str(config), environment=environment) as daemon:
            found = {role["name"]: role for role in daemon.status()["roles"]}
    assert found["live"]["access_key_id"] == "ASIALIVE"
    assert found["renewed"]["access_key_id"] == "ASIARENEWED"
    assert "/token" in sso.calls
    assert token_file(home, "renewed").read_text() != before
    failures = {
        name: (role["failure"]["code"], role["failure"]["action"]) for name, role in found.items() if role["failure"]
    }
    assert failures == {
        "revoked": ("UnauthorizedSSOTokenError", "reauthenticate"),
        "forbidden": ("ForbiddenException", "denied"),
        "missing": ("SSOTokenLoadError", "reauthenticate"),
        "ended": ("TokenRetrievalError", "reauthenticate"),
    }


@pytest.mark.parametrize("behind", [False, True], ids=["itself", "as source profile"])
async def test_a_program(profiles, source, sts, behind):
    """A credential_process gives its credentials and their end; its standard input is empty."""
    code = f"import sys, json; assert sys.stdin.read() == ''; print(json.dumps({GOOD!r}))"
    write_profile(profiles, "inner" if behind else "work", credential_process=program(profiles, code))
    if behind:
        write_profile(profiles, role_arn=ROLE, source_profile="inner")
    opened = await source().open(utc_now())
    if behind:
        assert [call["AccessKeyId"] for call in sts.calls] == ["ASIAPROCESS"]
    else:
        assert opened.credentials.access_key_id == "ASIAPROCESS"
        assert f"{opened.credentials.expiration:%Y-%m-%dT%H:%M:%SZ}" == LATER


PROGRAMS = {
    # what the program does, code, action
    "hangs": ("import time; time.sleep(600)", "ProgramTimeout", "retry"),
    "hangs in a child": (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])",
        "ProgramTimeout",
        "retry",
    ),
    "prints for ever": ("while True: print('x' * 4096)", "Program", "config"),
    "prints no JSON": (f"print('{SECRET_ACCESS_KEY}')", "InvalidCredentialsDocument", "config"),
    "prints no text": (r"import sys; sys.stdout.buffer.write(b'\xff\xfe')", "InvalidCredentialsDocument", "config"),
    "prints another version": ("print('{\"Version\": 2}')", "CredentialRetrievalError", "retry"),
    "prints no key": ("print('{\"Version\": 1}')", "CredentialRetrievalError", "retry"),
    "prints a list": ("print('[]')", "InvalidCredentialsDocument", "config"),
    "fails with a secret": (f"import sys; sys.exit('{SECRET_ACCESS_KEY}')", "Program", "retry"),
}


@pytest.mark.parametrize("behind", [False, True], ids=["itself", "as source profile"])
@pytest.mark.parametrize("case", PROGRAMS)
async def test_a_program_that_fails(profiles, source, monkeypatch, case, behind, caplog):
    """Whatever a credential_process does, the role fails in a bounded time and what it printed is told to nobody."""
    code, expected, action = PROGRAMS[case]
    if "hangs" in case:
        monkeypatch.setattr(profile_source, "run_program", partial(run_program, timeout=0.5))
    write_profile(profiles, "inner" if behind else "work", credential_process=program(profiles, code))
    if behind:
        write_profile(profiles, role_arn=ROLE, source_profile="inner")
    failure = await failure_of_opening(source())
    assert (failure.code, failure.action.value) == (expected, action)
    assert SECRET_ACCESS_KEY not in str(failure) + caplog.text


async def test_a_program_that_is_not_there(profiles, source):
    """A missing credential_process is the operator's to mend."""
    write_profile(profiles, credential_process="/nowhere/at-all")
    failure = await failure_of_opening(source())
    assert (failure.code, failure.action.value) == ("Program", "config")
    assert "at-all" in failure.message


async def test_mfa_is_not_asked_for_on_the_terminal(profiles, source, sts):
    """A profile whose role wants an MFA code says that a person must act; nothing is prompted, nothing is sent."""
    write_profile(profiles, "keys", aws_access_key_id="AKIAKEYS", aws_secret_access_key="abcd")
    write_profile(profiles, role_arn=ROLE, source_profile="keys", mfa_serial="arn:aws:iam::111122223333:mfa/me")
    failure = await failure_of_opening(source())
    assert (failure.code, failure.action.value) == ("MFARequired", "reauthenticate")
    assert sts.calls == []


async def test_profiles_that_give_nothing(profiles, source):
    """No such profile, and a profile without credentials, are told apart and are the operator's to mend."""
    write_profile(profiles, "empty", region="eu-west-1")
    found = {name: await failure_of_opening(source(name)) for name in ("nobody", "empty", None)}
    told = {name: (failure.code, failure.action.value) for name, failure in found.items()}
    none = ("NoCredentials", "config")
    assert told == {"nobody": ("ProfileNotFound", "config"), "empty": none, None: none}


@pytest.mark.parametrize("kind", ["Ec2InstanceMetadata", "EcsContainer"])
@pytest.mark.parametrize("behind", [False, True], ids=["itself", "as source profile"])
async def test_metadata_services_are_refused_as_source(profiles, source, kind, behind):
    """A profile whose chain ends in a metadata service is refused by name: that service is this daemon."""
    write_profile(profiles, "inner" if behind else "work", role_arn=ROLE, credential_source=kind)
    if behind:
        write_profile(profiles, role_arn=ROLE, source_profile="inner")
    failure = await failure_of_opening(source())
    assert (failure.code, failure.action.value) == ("InvalidConfig", "config")
    assert kind in failure.message


async def test_a_key_rotated_on_disk_is_noticed(profiles, source, assumed, sts):
    """Keys are read again when their file changes; keys that AWS refuses are not asked for again and again."""
    write_profile(profiles, aws_access_key_id="AKIAOLD", aws_secret_access_key="abcd")
    issuer, now = assumed(ROLE), utc_now()
    await issuer.issue(now)
    (profiles / ".aws" / "config").unlink()
    write_profile(profiles, aws_access_key_id="AKIANEW", aws_secret_access_key="abcd")
    await issuer.issue(now + timedelta(seconds=1))
    assert [call["AccessKeyId"] for call in sts.calls] == ["AKIAOLD", "AKIANEW"]


async def test_credentials_that_aws_refuses_are_loaded_again(profiles, assumed, source_clock, sts):
    """What a program gave is asked for anew at once when AWS refuses it, and then not for half a minute."""
    count = profiles / "count"
    code = (
        f"import json, pathlib; p = pathlib.Path({str(count)!r}); n = len(p.read_text()) if p.exists() else 0; "
        f"p.write_text('x' * (n + 1)); print(json.dumps({GOOD!r} | {{'AccessKeyId': f'ASIA{{n}}'}}))"
    )
    write_profile(profiles, credential_process=program(profiles, code))
    issuer, now = assumed(ROLE), utc_now()
    await issuer.issue(now)
    refused = stand_in.error("ExpiredToken", status=403)
    sts.behaviour = lambda call: refused(call) if call["AccessKeyId"] == "ASIA0" else sts.session(call)
    await source_clock.advance(timedelta(minutes=1))
    await issuer.issue(now)
    assert [call["AccessKeyId"] for call in sts.calls] == ["ASIA0", "ASIA0", "ASIA1"]
    sts.behaviour = refused
    for _ in range(3):
        await source_clock.advance(timedelta(seconds=5))
        with pytest.raises(CredentialsError, match="ExpiredToken"):
            await issuer.issue(now)
    assert count.read_text() == "xx"


async def test_a_source_that_fails_is_asked_once_for_all_its_roles(profiles, source, source_clock):
    """Fifty roles of one dead source load it once, and again only after its back-off."""
    count = profiles / "count"
    code = f"open({str(count)!r}, 'a').write('x'); raise SystemExit(1)"
    write_profile(profiles, credential_process=program(profiles, code))
    shared, now = source(), utc_now()
    failures = await asyncio.gather(*(shared.open(now) for _ in range(50)), return_exceptions=True)
    assert {failure.code for failure in failures} == {"Program"}
    assert count.read_text() == "x"
    wait = max(failure.again_after for failure in failures)
    assert timedelta() < wait <= timedelta(seconds=2)
    await source_clock.advance(wait)
    with pytest.raises(CredentialsError):
        await shared.open(now)
    assert count.read_text() == "xx"


async def test_thirty_roles_of_one_profile_load_it_once(profiles, source, sts, tmp_path):
    """Roles that start together share one load of their profile, and botocore's loop check sees none of it."""
    count = tmp_path / "count"
    code = f"import json; open({str(count)!r}, 'a').write('x'); print(json.dumps({GOOD!r}))"
    write_profile(profiles, "inner", credential_process=program(profiles, code))
    write_profile(profiles, role_arn=ROLE, source_profile="inner")
    shared, now = source(), utc_now()
    opened = await asyncio.gather(*(shared.open(now) for _ in range(30)))
    assert len({one.credentials.access_key_id for one in opened}) == 1
    assert (count.read_text(), actions(sts)) == ("x", ["AssumeRole"])
    apart = await asyncio.gather(*(source().open(now) for _ in range(12)))
    assert len(apart) == 12


def test_no_secret_is_in_a_repr():
    """What a source holds can be printed."""
    held = profile_source.SourceCredentials(
        access_key_id="AKIA1", secret_access_key=SECRET_ACCESS_KEY, session_token=SESSION_TOKEN, expiration=None
    )
    assert SECRET_ACCESS_KEY not in repr(held)
    assert SESSION_TOKEN not in repr(held)
    assert json.dumps(repr(held))
