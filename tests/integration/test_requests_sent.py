"""What STS is asked, parameter by parameter and call by call."""

from __future__ import annotations

import asyncio
import getpass
import json
import re
import socket
from datetime import timedelta

import pytest
from support import sts as stand_in
from support.daemon import DaemonProcess, write_config, write_profile
from support.issuing import failure_of, utc_now

from imds.aws.issuers import OwnSession

ROLE = "arn:aws:iam::111122223333:role/app"
ALWAYS = {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": ROLE}
DEFAULT_NAME = re.sub(r"[^\w+=,.@-]", "-", f"{getpass.getuser()}-{socket.gethostname()}")[:64]
TOO_LONG = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."

OPTIONS = {
    "nothing": ("", {}),
    "duration": ("duration: 12h", {"DurationSeconds": "43200"}),
    "shortest": ("duration: 15m", {"DurationSeconds": "900"}),
    "external id": ("external_id: partner-42", {"ExternalId": "partner-42"}),
    "name": ("role_session_name: fixed@name", {"RoleSessionName": "fixed@name"}),
    "name template": ('role_session_name: "ci-{user}"', {"RoleSessionName": f"ci-{getpass.getuser()}"}),
    "source identity": ('source_identity: "{user}"', {"SourceIdentity": getpass.getuser()}),
    "policy": (
        'policy: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: "s3:Get*", Resource: "*"}]}',
        {"Policy": '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}]}'},
    ),
    "policy arns": (
        'policy_arns: ["arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::111122223333:policy/mine"]',
        {
            "PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/ReadOnlyAccess",
            "PolicyArns.member.2.arn": "arn:aws:iam::111122223333:policy/mine",
        },
    ),
    "tags": (
        "tags: {team: payments, cost centre: '42'}\n    transitive_tags: [team]",
        {
            "Tags.member.1.Key": "team",
            "Tags.member.1.Value": "payments",
            "Tags.member.2.Key": "cost centre",
            "Tags.member.2.Value": "42",
            "TransitiveTagKeys.member.1": "team",
        },
    ),
}


def config_of(options: str, more: str = "") -> str:
    """Return a configuration with role ``app``."""
    head = 'region: eu-west-1\nlisten: ["http://127.0.0.1:0"]\nroles:\n  app:\n'
    return f"{head}    role_arn: {ROLE}\n    source: {{profile: work}}\n    {options}\n{more}"


def serve(home, url: str, config: str) -> DaemonProcess:
    """Return a daemon, not started yet."""
    path = write_config(home / "imds.yaml", config)
    return DaemonProcess(home, "serve", "--config", str(path), environment={"AWS_ENDPOINT_URL_STS": url})


def of(calls: list[dict[str, str]], action: str) -> list[dict[str, str]]:
    """Return the calls of one action."""
    return [call for call in calls if call.get("Action") == action]


@pytest.mark.parametrize("case", OPTIONS)
def test_every_option_is_sent_and_nothing_else(home, moto_server, case):
    """AssumeRole has the parameters that were configured, the name and the duration, and nothing else."""
    options, expected = OPTIONS[case]
    moto_server.record()
    with serve(home, moto_server.url, config_of(options)):
        pass
    defaults = {"RoleSessionName": DEFAULT_NAME, "DurationSeconds": "3600"}
    assert moto_server.recorded() == [ALWAYS | defaults | expected]


def test_a_chain_asks_once_for_each_role_and_an_hour_at_most(home, moto_server):
    """A chained role sends 3600 whatever its source's duration; clients and commands cause no call."""
    chained = f"  audited:\n    role_arn: {ROLE}/audited\n    source: {{role: app}}\n"
    moto_server.record()
    with serve(home, moto_server.url, config_of("duration: 6h", chained)) as daemon:
        for _ in range(2):
            assert daemon.imds("exec", "audited", "--", "true").returncode == 0
            daemon.status()
    sent = [(call["RoleArn"], call["DurationSeconds"]) for call in moto_server.recorded()]
    assert sorted(sent) == [(ROLE, "21600"), (f"{ROLE}/audited", "3600")]


def test_a_session_of_a_profile_is_clamped_too(home, moto_server):
    """Keys that are a session already give an hour at most, whatever the role allows."""
    write_profile(
        home, "session", aws_access_key_id="ASIA1", aws_secret_access_key="abcd", aws_session_token="a session's token"
    )
    moto_server.record()
    with serve(home, moto_server.url, config_of("duration: 6h").replace("profile: work", "profile: session")):
        pass
    assert [call["DurationSeconds"] for call in moto_server.recorded()] == ["3600"]


def test_twenty_roles_of_one_profile_are_twenty_calls(home, moto_server):
    """Each role is assumed once; the profile itself costs no call."""
    head = 'listen: ["http://127.0.0.1:0"]\nregion: eu-west-1\nroles:\n'
    roles = "".join(f"  r{n}: {{role_arn: '{ROLE}{n}', source: {{profile: work}}}}\n" for n in range(20))
    moto_server.record()
    with serve(home, moto_server.url, head + roles + "instances: {default: {role: r0}}\n"):
        pass
    sent = moto_server.recorded()
    assert sorted(call["RoleArn"] for call in sent) == sorted(f"{ROLE}{n}" for n in range(20))


def test_long_term_keys_become_a_session(home, moto_server):
    """A role without role_arn asks GetSessionToken with its duration, and never serves the profile's own keys."""
    write_profile(home, "keys", aws_access_key_id="AKIALONGTERM", aws_secret_access_key="abcd")
    config = (
        'listen: ["http://127.0.0.1:0"]\nregion: eu-west-1\nroles: {me: {source: {profile: keys}, duration: 36h}}\n'
    )
    moto_server.record()
    with serve(home, moto_server.url, config) as daemon:
        role = daemon.status()["roles"][0]
    sent = moto_server.recorded()
    assert [call["Action"] for call in sent] == ["GetSessionToken", "GetCallerIdentity"]
    assert sent[0]["DurationSeconds"] == "129600"
    assert role["access_key_id"] not in (None, "AKIALONGTERM")


async def test_a_session_that_does_not_say_when_it_ends_is_not_served(profiles, sts, source, threads, monkeypatch):
    """A profile with a session token but no expiry cannot be served as it is: the operator is told what to write."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
    write_profile(profiles, aws_access_key_id="ASIA1", aws_secret_access_key="abcd", aws_session_token="a token")
    failure = await failure_of(OwnSession(duration=timedelta(hours=1), source=source(), threads=threads))
    assert (failure.code, failure.action.value) == ("UnknownExpiration", "config")
    assert "role_arn" in failure.message
    assert sts.calls == []


def test_a_duration_that_the_role_refuses_falls_to_an_hour_and_is_shown(home, sts):
    """STS's refusal of a long session is answered with one hour at once, remembered, and told by ``status``."""

    def at_most_an_hour(call: stand_in.Call) -> stand_in.Answer:
        refused = int(call["DurationSeconds"]) > 3600
        return stand_in.error("ValidationError", TOO_LONG)(call) if refused else sts.session(call)

    sts.behaviour = at_most_an_hour
    with serve(home, sts.url, config_of("duration: 12h")) as daemon:
        role = daemon.status()["roles"][0]
        assert "allows no session of 12:00:00" in daemon.log
    assert [call["DurationSeconds"] for call in sts.calls] == ["43200", "3600"]
    assert (role["state"], role["duration_limited_to"], role["failure"]) == ("ok", 3600, None)


async def test_a_refused_duration_is_remembered(profiles, sts, assumed, monkeypatch):
    """The next session asks for the hour straight away."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
    write_profile(profiles)
    issuer = assumed(ROLE, duration=timedelta(hours=12))
    sts.behaviour = lambda call: (
        stand_in.error("ValidationError", TOO_LONG)(call) if call["DurationSeconds"] == "43200" else sts.session(call)
    )
    first, second = await issuer.issue(utc_now()), await issuer.issue(utc_now())
    assert first.access_key_id != second.access_key_id
    assert [call["DurationSeconds"] for call in sts.calls] == ["43200", "3600", "3600"]
    assert issuer.longest == timedelta(hours=1)


async def test_another_validation_error_is_no_matter_of_duration(profiles, sts, assumed, monkeypatch):
    """Only a refused duration is asked for again; the same refusal of one hour is the operator's."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
    write_profile(profiles)
    sts.behaviour = stand_in.error("ValidationError", "1 validation error detected: Value at 'roleArn'")
    assert (await failure_of(assumed(ROLE, duration=timedelta(hours=12)))).action.value == "config"
    sts.behaviour = stand_in.error("ValidationError", TOO_LONG)
    assert (await failure_of(assumed(ROLE))).action.value == "config"
    assert len(sts.calls) == 2


async def test_roles_of_one_source_do_not_wait_in_line(profiles, sts, assumed, monkeypatch):
    """Up to four calls are under way at once, so a slow one does not hold up the others."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
    write_profile(profiles)
    slow = sts.slow()
    sts.behaviour = lambda call: slow(call) if call["RoleArn"].endswith("slow") else sts.session(call)
    late = asyncio.create_task(assumed(f"{ROLE}slow").issue(utc_now()))
    issued = await asyncio.gather(*(assumed(f"{ROLE}{n}").issue(utc_now()) for n in range(8)))
    assert len({credentials.access_key_id for credentials in issued}) == 8
    assert not late.done()
    sts._release.set()
    assert (await late).arn == f"{ROLE}slow"


def test_the_policy_is_what_was_written(home, sts):
    """A session policy arrives as the JSON of the YAML: nothing added, numbers and booleans kept."""
    statement = (
        "{Sid: A, Effect: Deny, Action: ['*'], Resource: '*', Condition: {Bool: {'aws:SecureTransport': false}}}"
    )
    with serve(home, sts.url, config_of(f"policy: {{Version: '2012-10-17', Statement: [{statement}]}}")):
        pass
    expected = {
        "Sid": "A",
        "Effect": "Deny",
        "Action": ["*"],
        "Resource": "*",
        "Condition": {"Bool": {"aws:SecureTransport": False}},
    }
    assert json.loads(sts.calls[0]["Policy"]) == {"Version": "2012-10-17", "Statement": [expected]}
