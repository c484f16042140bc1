"""Leases against an AWS that enforces policies: what a lease excludes really cannot be done with its keys."""

from __future__ import annotations

import json
import subprocess
import sys

import boto3
import pytest
from botocore.exceptions import ClientError
from support.daemon import DaemonProcess, clean_environment, write_config
from support.leases import TOKEN, URL, Granted, ask, grant

LIST_BUCKETS = "import boto3; print(len(boto3.client('s3').list_buckets()['Buckets']) >= 0)"
MAKE_BUCKET = (
    "import boto3, sys; boto3.client('s3').create_bucket("
    "Bucket=sys.argv[1], CreateBucketConfiguration={'LocationConstraint': 'eu-west-1'}); print('made')"
)
ANYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
ONLY_LIST = {"Effect": "Allow", "Action": ["s3:ListAllMyBuckets", "s3:List*"], "Resource": "*"}
NO_LIST = {"Effect": "Deny", "Action": "s3:List*", "Resource": "*"}


def policy(*statements: object) -> str:
    """Return a policy."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture
def enforced(home, ministack_server):
    """A daemon whose AWS enforces policies: ``whole`` may do anything, ``own`` has a session policy, ``why`` asks."""
    iam = boto3.session.Session("test", "test", region_name="eu-west-1").client(
        "iam", endpoint_url=ministack_server.url
    )
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    reasoned = {**trust, "Condition": {"StringLike": {"aws:RequestTag/reason": "INC-*"}}}
    for name, statement in {"leased-whole": trust, "leased-why": reasoned}.items():
        if name not in [role["RoleName"] for role in iam.list_roles()["Roles"]]:
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(statement))
            iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy(ANYTHING))
    keys = iam.create_access_key(UserName=_user(iam))["AccessKey"]
    (home / ".aws" / "config").write_text(
        f"[profile work]\naws_access_key_id = {keys['AccessKeyId']}\n"
        f"aws_secret_access_key = {keys['SecretAccessKey']}\n"
    )
    text = f"""\
    region: eu-west-1
    listen: ["http://127.0.0.1:0"]
    roles:
      whole: {{role_arn: "arn:aws:iam::000000000000:role/leased-whole", source: {{profile: work}}}}
      own:
        role_arn: arn:aws:iam::000000000000:role/leased-whole
        source: {{profile: work}}
        policy: {policy(ONLY_LIST)}
      why: {{role_arn: "arn:aws:iam::000000000000:role/leased-why", source: {{profile: work}}, stamp: [tags]}}
"""
    config = write_config(home / "imds.yaml", text)
    environment = {"AWS_ENDPOINT_URL": ministack_server.url}
    with DaemonProcess(home, "serve", "--config", str(config), environment=environment) as served:
        yield served, ministack_server


def _user(iam) -> str:
    name = "leaser"
    if name not in [user["UserName"] for user in iam.list_users()["Users"]]:
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=policy(ANYTHING))
    for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    return name


def with_keys(enforced, lease: Granted, program: str, *arguments: str) -> str:
    """Return what boto3 says that has a lease's URL and token."""
    served, server = enforced
    environment = clean_environment(served.home / "client") | {
        URL: str(lease.told["url"]),
        TOKEN: str(lease.told["token"]),
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": server.url,
    }
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.strip() or done.stderr


def test_what_its_policy_excludes_cannot_be_done(enforced):
    """With the role's session a bucket can be made, with the lease's it can only be listed; AWS says so."""
    served, _ = enforced
    whole, small = grant(served, role="whole"), grant(served, role="whole", policy=policy(ONLY_LIST))
    assert with_keys(enforced, whole, MAKE_BUCKET, "leased-1") == "made"
    assert with_keys(enforced, small, LIST_BUCKETS) == "True"
    assert "AccessDenied" in with_keys(enforced, small, MAKE_BUCKET, "leased-2")


def test_denials_are_added_to_the_role_s_own_policy(enforced):
    """What the role may not do the lease may not either, nor what it denies although the role's policy allows it."""
    served, _ = enforced
    own, less = grant(served, role="own"), grant(served, role="own", policy=policy(NO_LIST))
    assert with_keys(enforced, own, LIST_BUCKETS) == "True"
    assert "AccessDenied" in with_keys(enforced, less, LIST_BUCKETS)
    for lease in (own, less):
        assert "AccessDenied" in with_keys(enforced, lease, MAKE_BUCKET, "leased-3")
    status, answer = ask(served, role="own", policy=policy(ANYTHING))
    assert (status, "adds up" in answer["error"]) == (400, True)


def test_a_trust_policy_that_demands_the_reason(enforced):
    """A role whose trust policy asks for a reason is leased with the right one only."""
    served, _ = enforced
    assert ask(served, role="why", reason="because")[0] == 409
    assert ask(served, role="why")[0] == 409
    lease = grant(served, role="why", reason="INC-1234: look")
    assert with_keys(enforced, lease, LIST_BUCKETS) == "True"
    assert [one["id"] for one in served.status()["leases"]] == [lease.id]


def test_the_policy_that_is_printed_ends_the_keys(enforced):
    """Keys that were given work after the lease's end, until that policy is on the role; others of the role go on."""
    served, server = enforced
    lease, other = grant(served, role="whole"), grant(served, role="whole")
    keys = {one.id: json.loads(one.get(served).body) for one in (lease, other)}
    ended = json.loads(served.imds("revoke", lease.id, "--json").stdout)

    def lists_buckets(one: Granted) -> bool:
        told = keys[one.id]
        session = boto3.session.Session(told["AccessKeyId"], told["SecretAccessKey"], told["Token"], "eu-west-1")
        try:
            session.client("s3", endpoint_url=server.url).list_buckets()
        except ClientError as error:
            return error.response["Error"]["Code"] != "AccessDenied"
        return True

    assert lists_buckets(lease)
    iam = boto3.session.Session("test", "test", region_name="eu-west-1").client("iam", endpoint_url=server.url)
    name = {"RoleName": "leased-whole", "PolicyName": f"imds-revoke-{lease.id}"}
    iam.put_role_policy(**name, PolicyDocument=json.dumps(ended["policy"]))
    try:
        assert not lists_buckets(lease)
        assert lists_buckets(other)
    finally:
        iam.delete_role_policy(**name)
