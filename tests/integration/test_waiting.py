"""A source that needs a person: one wait for all its roles, an answer at once, nobody asked, recovery by itself."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from support import sts as stand_in
from support import wire
from support.daemon import DaemonProcess, write_config, write_profile
from support.identity_providers import SamlProvider
from support.machine import eventually
from support.sso import StandInSso, log_in, sign_in, write_token

LIST = "/latest/meta-data/iam/security-credentials/"
DEVICE = "arn:aws:iam::111122223333:mfa/me"
CODE = "918273"
BAD_CODE = "MultiFactorAuthentication failed with invalid MFA one time pass code."


def daemon(home: Path, source: str, *names: str, own: bool = False, **environment: str) -> DaemonProcess:
    """Return a daemon with several roles of one source."""
    arn = "" if own else "role_arn: 'arn:aws:iam::111122223333:role/{name}', "
    roles = "".join(f"  {name}: {{{arn.format(name=name)}source: {source}}}\n" for name in names)
    config = write_config(
        home / "imds.yaml",
        f"listen: ['http://127.0.0.1:0']\nregion: eu-west-1\nroles:\n{roles}",
    )
    return DaemonProcess(home, "serve", "--config", str(config), environment=environment)


def roles_of(served: DaemonProcess) -> dict[str, dict]:
    """Return the roles of ``imds status``."""
    return {role["name"]: role for role in served.status()["roles"]}


def all_ok(served: DaemonProcess) -> bool:
    """Whether every role has its session."""
    return {role["state"] for role in roles_of(served).values()} == {"ok"}


@pytest.fixture
def sso():
    """The portal, SSO-OIDC and signin."""
    with StandInSso() as running:
        yield running


def test_an_expired_sign_in(home, sts, sso):
    """Roles of an ended Identity Center sign-in wait; clients hear so at once; the sign-in alone brings all back."""
    sign_in(home, "live", left=timedelta(minutes=-1), refresh_token="bad")
    environment = {"AWS_ENDPOINT_URL_STS": sts.url} | sso.environment
    with daemon(home, "{profile: live}", "app", "two", "three", **environment) as served:
        for role in roles_of(served).values():
            assert role["state"] == "waiting"
            assert role["waiting_for"] == "a sign-in: aws sso login --profile live"
        assert wire.get(served.address, LIST).status == 404
        assert "waiting for a sign-in: aws sso login --profile live" in served.imds("status").stdout
        asked = len(sso.calls)
        assert asked == 1, "one attempt to renew the token for all roles"
        served.wait_for_log("waiting for a sign-in")
        write_token(home, "live", left=timedelta(hours=8))
        eventually(lambda: all_ok(served))
        assert wire.get(served.address, LIST).status == 200
    assert sso.calls[asked:] == ["/federation/credentials"]
    assumed = [call["RoleArn"].rpartition("/")[2] for call in sts.calls if call["Action"] == "AssumeRole"]
    assert sorted(assumed) == ["app", "three", "two"]


def test_aws_login(home, sts, sso):
    """A session of ``aws login`` is renewed by itself; when that is over, the roles wait for the command."""
    pytest.importorskip("awscrt", reason="needs the extra login (awscrt)")
    environment = {"AWS_ENDPOINT_URL_STS": sts.url} | sso.environment
    log_in(home, "me", left=timedelta(minutes=1))
    with daemon(home, "{profile: me}", "app", **environment) as served:
        assert all_ok(served)
        assert sts.calls[-1]["AccessKeyId"] == "ASIALOGIN1", "renewed with the refresh token"
    log_in(home, "me", left=timedelta(minutes=1), refresh_token="ended")
    with daemon(home, "{profile: me}", "app", **environment) as served:
        assert roles_of(served)["app"]["waiting_for"] == "a sign-in: aws login --profile me"
        log_in(home, "me", left=timedelta(minutes=1))
        eventually(lambda: all_ok(served))


def test_one_mfa_code_opens_every_role_of_its_source(home, sts):
    """One code, one GetSessionToken; the roles follow at once, and the code is in no log."""
    write_profile(home, "keys", aws_access_key_id="AKIAKEYS", aws_secret_access_key="abcd")
    source = f"{{profile: keys, mfa_serial: '{DEVICE}'}}"
    with daemon(home, source, "app", "two", AWS_ENDPOINT_URL_STS=sts.url) as served:
        told = roles_of(served)
        assert told["two"]["waiting_for"] == f"an MFA code of {DEVICE}: imds mfa two CODE"
        assert wire.get(served.address, LIST).status == 404
        assert sts.calls == []
        assert served.imds("mfa", "two", CODE).stdout == "accepted, for app, two\n"
        eventually(lambda: all_ok(served), within=3)
        assert CODE not in served.log
    asked = [call for call in sts.calls if call["Action"] == "GetSessionToken"]
    assert [(call["SerialNumber"], call["TokenCode"], call["DurationSeconds"]) for call in asked] == [
        (DEVICE, CODE, "43200")
    ]
    assert sorted(call["Action"] for call in sts.calls) == ["AssumeRole", "AssumeRole", "GetSessionToken"]


def test_a_wrong_mfa_code_is_never_tried_again(home, sts):
    """AWS's refusal is told to whoever gave the code; it is not sent twice, and the next one is welcome."""
    write_profile(home, "keys", aws_access_key_id="AKIAKEYS", aws_secret_access_key="abcd")
    refuse = stand_in.error("AccessDenied", BAD_CODE, status=403)
    sts.behaviour = lambda call: refuse(call) if call.get("TokenCode") == "000000" else sts.session(call)
    source = f"{{profile: keys, mfa_serial: '{DEVICE}'}}"
    with daemon(home, source, "app", AWS_ENDPOINT_URL_STS=sts.url) as served:
        refused = served.imds("mfa", "app", "000000", check=False)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert BAD_CODE in refused.stderr
        assert roles_of(served)["app"]["state"] == "waiting"
        assert len(sts.calls) == 1
        served.imds("mfa", "app", CODE)
        eventually(lambda: all_ok(served), within=3)
    assert [call.get("TokenCode") for call in sts.calls if call["Action"] == "GetSessionToken"] == ["000000", CODE]


def test_mfa_for_the_root_of_another_account(home, sts):
    """A code given to a root session's role goes to the profile that assumes it."""
    write_profile(home, "keys", aws_access_key_id="AKIAKEYS", aws_secret_access_key="abcd")
    role = "arn:aws:iam::111122223333:role/organization"
    write_profile(home, "mine", role_arn=role, source_profile="keys", mfa_serial=DEVICE)
    task = "arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials"
    source = f"{{assume_root: {{profile: mine, target_principal: '444455556666', task_policy_arn: '{task}'}}}}"
    with daemon(home, source, "app", own=True, AWS_ENDPOINT_URL_STS=sts.url) as served:
        assert roles_of(served)["app"]["waiting_for"] == "an MFA code: imds mfa app CODE"
        assert served.imds("mfa", "app", CODE).stdout == "accepted, for app\n"
        eventually(lambda: all_ok(served), within=3)
    assert [call["Action"] for call in sts.calls] == ["AssumeRole", "AssumeRoot"]


def test_mfa_of_a_profile_that_assumes_its_own_role(home, sts):
    """A profile with role_arn and mfa_serial in ~/.aws takes its code from the same place."""
    write_profile(home, "keys", aws_access_key_id="AKIAKEYS", aws_secret_access_key="abcd")
    role = "arn:aws:iam::111122223333:role/mine"
    write_profile(home, "mine", role_arn=role, source_profile="keys", mfa_serial=DEVICE)
    with daemon(home, "{profile: mine}", "app", own=True, AWS_ENDPOINT_URL_STS=sts.url) as served:
        assert roles_of(served)["app"]["waiting_for"] == "an MFA code: imds mfa app CODE"
        served.imds("mfa", "app", CODE)
        eventually(lambda: all_ok(served), within=3)
    (call,) = [call for call in sts.calls if call["Action"] == "AssumeRole"]
    assert (call["RoleArn"], call["SerialNumber"], call["TokenCode"]) == (role, DEVICE, CODE)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("app", CODE), "takes no MFA code: see mfa_serial"),
        (("nobody", CODE), "no role nobody; there are: app"),
        (("app", "12345"), "an MFA code has six digits"),
        (("app", "\uff11" * 6), "an MFA code has six digits"),
    ],
)
def test_mfa_codes_that_nobody_waits_for(served, arguments, text):
    """A code for a role that takes none, or that is none, is refused with the reason."""
    done = served.imds("mfa", *arguments, check=False)
    assert done.returncode == 1
    assert text in done.stderr


def test_an_mfa_code_from_standard_input(home, sts):
    """The code can come from another program, so that it is in no process list."""
    write_profile(home, "keys", aws_access_key_id="AKIAKEYS", aws_secret_access_key="abcd")
    source = f"{{profile: keys, mfa_serial: '{DEVICE}'}}"
    with daemon(home, source, "app", AWS_ENDPOINT_URL_STS=sts.url) as served:
        assert served.imds("mfa", "app", typed=f"{CODE}\n").stdout == "accepted, for app\n"


@pytest.mark.parametrize("kind", ["web_identity", "saml"])
def test_a_token_that_is_not_there_yet(home, moto_server, kind):
    """Without its file a role waits, for its neighbours too, and goes on by itself once it is there."""
    file = home / "evidence"
    source = {
        "web_identity": f"{{web_identity: {{token_file: {file}}}}}",
        "saml": f"{{saml: {{assertion_file: {file}}}}}",
    }[kind]
    with daemon(home, source, "app", "two", AWS_ENDPOINT_URL=moto_server.url) as served:
        assert {role["state"] for role in roles_of(served).values()} == {"waiting"}
        assert str(file) in roles_of(served)["two"]["waiting_for"]
        if kind == "saml":
            provider = "arn:aws:iam::111122223333:saml-provider/idp"
            file.write_bytes(SamlProvider().assertion(f"arn:aws:iam::111122223333:role/app,{provider}"))
        else:
            file.write_text("header.payload.signature")
        eventually(lambda: roles_of(served)["app"]["state"] == "ok")
        eventually(lambda: roles_of(served)["two"]["state"] == ("ok" if kind == "web_identity" else "unavailable"))


def test_a_program_that_signs_in_is_run_once_for_all_roles(home, moto_server):
    """A program that fails is not run for each role, and not again before its back-off ends."""
    count = home / "count"
    script = home / "assertion.sh"
    script.write_text(f"#!/bin/sh\necho x >> {count}\nexit 1\n")
    script.chmod(0o755)
    names = [f"r{number}" for number in range(20)]
    source = f"{{saml: {{assertion_command: [{script}]}}}}"
    with daemon(home, source, *names, AWS_ENDPOINT_URL=moto_server.url) as served:
        codes = {role["failure"]["code"] for role in roles_of(served).values()}
    assert codes == {"Program"}
    assert len(count.read_text().split()) <= 3, "once at the start, and again for all of them after each back-off"
