"""What our tests lean on in the emulators, their bugs included: a release that changes it is seen here first."""

from __future__ import annotations

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::000000000000:role/contract"


def sts_of(emulator, key: str = "test"):
    """Return a client that checks no parameters."""
    config = Config(parameter_validation=False, retries={"total_max_attempts": 1})
    session = boto3.session.Session(key, "test", region_name="eu-west-1")
    return session.client("sts", endpoint_url=emulator.url, config=config)


def test_moto_enforces_nothing(moto_server):
    """A role that does not exist is assumed for eleven days: durations and trust are to be asserted as sent."""
    answer = sts_of(moto_server).assume_role(RoleArn=ROLE, RoleSessionName="xy", DurationSeconds=999999)
    assert answer["Credentials"]["AccessKeyId"].startswith("ASIA")
    assert "SourceIdentity" not in answer


def test_moto_gives_the_same_session_token_for_all(moto_server):
    """GetSessionToken's key is a constant: whether a new session was made is to be asserted as sent."""
    given = [sts_of(moto_server).get_session_token()["Credentials"]["AccessKeyId"] for _ in range(2)]
    assert given == ["AKIAIOSFODNN7EXAMPLE"] * 2


def test_moto_records_what_was_sent(moto_server):
    """The recorder has the form parameters of every call."""
    moto_server.record()
    sts_of(moto_server).assume_role(RoleArn=ROLE, RoleSessionName="xy", SourceIdentity="me")
    assert [call["SourceIdentity"] for call in moto_server.recorded()] == ["me"]


def test_ministack_does_not_know_the_role(ministack_server):
    """A role that does not exist, and a key nobody has, are refused."""
    with pytest.raises(ClientError, match=r"AccessDenied|NoSuchEntity"):
        sts_of(ministack_server).assume_role(RoleArn=f"{ROLE}-nowhere", RoleSessionName="xy")
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        sts_of(ministack_server, "AKIANOBODY").get_caller_identity()


def test_ministack_has_no_longest_session(ministack_server):
    """MaxSessionDuration is not enforced: what we do when it is, a stand-in shows."""
    root = boto3.session.Session("test", "test", region_name="eu-west-1")
    trust = '{"Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}'
    iam = root.client("iam", endpoint_url=ministack_server.url)
    iam.create_role(RoleName="contract", AssumeRolePolicyDocument=trust, MaxSessionDuration=3600)
    given = sts_of(ministack_server).assume_role(RoleArn=ROLE, RoleSessionName="xy", DurationSeconds=43200)
    assert given["Credentials"]["SessionToken"]
