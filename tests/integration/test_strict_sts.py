"""An STS that enforces: trust, external ids, session policies, keys, expiry and clocks."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from pathlib import Path

import boto3
import freezegun
import pytest
from botocore.exceptions import ClientError
from support.daemon import write_profile
from support.emulators import ministack
from support.issuing import failure_of, utc_now

ACCOUNT = "000000000000"
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
_numbers = itertools.count(1)


def document(action: str, resource: str = "*", **more: object) -> str:
    """Return a policy of one statement."""
    statement = {"Effect": "Allow", "Action": action, **({} if "Principal" in more else {"Resource": resource}), **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class Site:
    """A user with keys in profile ``work``, and roles, on an emulator; its names are its own."""

    def __init__(self, url: str, home: Path) -> None:
        self.url = url
        root = boto3.session.Session("test", "test", region_name="eu-west-1")
        self.iam = root.client("iam", endpoint_url=url)
        self.prefix = f"s{next(_numbers)}"
        self.user = f"{self.prefix}-user"
        self.iam.create_user(UserName=self.user)
        self.iam.put_user_policy(UserName=self.user, PolicyName="p", PolicyDocument=document("sts:AssumeRole"))
        self.home = home
        self.key_id = self.new_key()

    def new_key(self) -> str:
        """Make a key and write it to the profile."""
        key = self.iam.create_access_key(UserName=self.user)["AccessKey"]
        (self.home / ".aws" / "config").unlink(missing_ok=True)
        write_profile(self.home, aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
        return key["AccessKeyId"]

    def role(self, name: str, trusted: str | None = None, **condition: object) -> str:
        """Make a role that trusts the user or another role; return its ARN."""
        trusted = trusted or f"arn:aws:iam::{ACCOUNT}:user/{self.user}"
        trust = document("sts:AssumeRole", Principal={"AWS": trusted}, **condition)
        full = f"{self.prefix}-{name}"
        self.iam.create_role(RoleName=full, AssumeRolePolicyDocument=trust)
        self.iam.put_role_policy(RoleName=full, PolicyName="p", PolicyDocument=document("*"))
        return f"arn:aws:iam::{ACCOUNT}:role/{full}"

    def trust(self, role_arn: str, trusted: str) -> None:
        """Change whom a role trusts."""
        policy = document("sts:AssumeRole", Principal={"AWS": trusted})
        self.iam.update_assume_role_policy(RoleName=role_arn.rpartition("/")[2], PolicyDocument=policy)

    def client(self, service: str, credentials):
        """Return a client that signs with a session."""
        keys = (credentials.access_key_id, credentials.secret_access_key, credentials.session_token)
        return boto3.session.Session(*keys, region_name="eu-west-1").client(service, endpoint_url=self.url)


@pytest.fixture
def site(ministack_server, profiles, monkeypatch):
    """An account on the emulator that all tests share."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", ministack_server.url)
    return Site(ministack_server.url, profiles)


async def test_a_trusted_role_is_assumed_and_its_session_works(site, assumed):
    """What is issued signs a call that the emulator checks."""
    role = site.role("app")
    credentials = await assumed(role).issue(utc_now())
    said = site.client("sts", credentials).get_caller_identity()
    assert said["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/{site.prefix}-app/someone-here"
    assert (credentials.account_id, credentials.arn) == (ACCOUNT, role)


async def test_trust(site, assumed):
    """A role that trusts somebody else is denied, and assumed once its trust policy is mended."""
    role = site.role("app", f"arn:aws:iam::{ACCOUNT}:user/somebody-else")
    issuer = assumed(role)
    failure = await failure_of(issuer)
    assert (failure.code, failure.action.value) == ("AccessDenied", "denied")
    site.trust(role, f"arn:aws:iam::{ACCOUNT}:user/{site.user}")
    assert (await issuer.issue(utc_now())).arn == role


@pytest.mark.parametrize(("given", "denied"), [("right-one", False), ("wrong-one", True), (None, True)])
async def test_external_id(site, assumed, given, denied):
    """Only the right external id opens a role that demands one."""
    role = site.role("partner", Condition={"StringEquals": {"sts:ExternalId": "right-one"}})
    issuer = assumed(role, external_id=given)
    if denied:
        assert (await failure_of(issuer)).action.value == "denied"
    else:
        assert (await issuer.issue(utc_now())).arn == role


async def test_a_session_policy_narrows(site, assumed):
    """With a session policy the session may do what that says, and nothing else of what the role may."""
    role = site.role("app")
    narrowed = await assumed(role, policy=document("s3:ListAllMyBuckets")).issue(utc_now())
    site.client("s3", narrowed).list_buckets()
    with pytest.raises(ClientError, match="AccessDenied"):
        site.client("s3", narrowed).create_bucket(
            Bucket=f"{site.prefix}-narrow", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
    site.client("s3", await assumed(role).issue(utc_now())).create_bucket(
        Bucket=f"{site.prefix}-wide", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )


async def test_a_policy_that_cannot_be(site, assumed):
    """A malformed session policy is the operator's to mend."""
    failure = await failure_of(assumed(site.role("app"), policy='{"Statement":"nonsense"'))
    assert (failure.code, failure.action.value) == ("MalformedPolicyDocument", "config")


async def test_an_inactive_key(site, assumed):
    """A key switched off, like one deleted, ends as configuration; switched on again it works."""
    issuer, key = assumed(site.role("app")), {"UserName": site.user, "AccessKeyId": site.key_id}
    site.iam.update_access_key(**key, Status="Inactive")
    failure = await failure_of(issuer)
    assert (failure.code, failure.action.value) == ("InvalidClientTokenId", "config")
    site.iam.update_access_key(**key, Status="Active")
    await issuer.issue(utc_now())
    site.iam.delete_access_key(**key)
    assert (await failure_of(issuer)).action.value == "config"
    site.new_key()
    await issuer.issue(utc_now())


async def test_a_chain_of_two_roles(site, assumed, profiles):
    """A role that only another role may assume is reached through it, and not by the user."""
    first = site.role("first")
    second = site.role("second", first)
    assert (await failure_of(assumed(second))).action.value == "denied"
    write_profile(profiles, "chained", role_arn=first, source_profile="work")
    credentials = await assumed(second, "chained").issue(utc_now())
    said = site.client("sts", credentials).get_caller_identity()["Arn"]
    assert said == f"arn:aws:sts::{ACCOUNT}:assumed-role/{site.prefix}-second/someone-here"


@pytest.fixture
def moved(tmp_path):
    """A strict emulator whose clock the test sets, by libfaketime."""
    if not FAKETIME.exists():
        pytest.skip("needs Debian's package faketime, for an emulator whose clock can be set")
    file = tmp_path / "faketime"
    file.write_text("+0")
    settings = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_TIMESTAMP_FILE": str(file),
    }
    with ministack(**settings) as server:
        yield server, file


async def test_clocks_and_expiry(moved, profiles, assumed, monkeypatch):
    """A clock that is wrong is told as such; an expired session of a source wants a sign-in; both recover."""
    server, file = moved
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
    site = Site(server.url, profiles)
    first = site.role("first")
    second = site.role("second", first)
    held = await assumed(first).issue(utc_now())
    write_profile(
        profiles,
        "held",
        aws_access_key_id=held.access_key_id,
        aws_secret_access_key=held.secret_access_key,
        aws_session_token=held.session_token,
    )
    await assumed(second, "held").issue(utc_now())

    for ahead in ("+3700", "-3700"):
        file.write_text(ahead)
        failure = await failure_of(assumed(first))
        assert (failure.code, failure.action.value) == ("SignatureDoesNotMatch", "clock"), ahead
    file.write_text("+0")
    await assumed(first).issue(utc_now())

    file.write_text("+3700")
    with freezegun.freeze_time(utc_now() + timedelta(seconds=3700), tick=True, real_asyncio=True):
        failure = await failure_of(assumed(second, "held"))
        assert (failure.code, failure.action.value) == ("ExpiredToken", "reauthenticate")
        write_profile(profiles, "renewed", role_arn=first, source_profile="work")
        assert (await assumed(second, "renewed").issue(utc_now())).arn == second
