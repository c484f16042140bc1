"""An AWS account on an emulator that enforces it: a person's keys, two roles, a bucket, and what was accepted."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3

from support.daemon import write_profile
from support.fakes import KNOWN_SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.emulators import Emulator

ACCOUNT_ID = "000000000000"
REGION = "eu-west-1"
APP = f"arn:aws:iam::{ACCOUNT_ID}:role/app"
AUDITED = f"arn:aws:iam::{ACCOUNT_ID}:role/audited"
USER = f"arn:aws:iam::{ACCOUNT_ID}:user/developer"
BUCKET = "shared"


class Account:
    """The emulator's account, as its root user sees it.

    The person may assume ``app`` and nothing else; ``app`` may use the bucket and assume ``audited``.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._root = boto3.Session(
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name=REGION,
        )
        with _unlogged():
            self.access_key: dict[str, str] = emulator.inside(self._set_up)
        KNOWN_SECRETS.append(self.access_key["SecretAccessKey"])

    def write_profile(self, home: Path, name: str = "work") -> None:
        """Add the person's long-term keys to ``~/.aws/config``."""
        key = self.access_key
        write_profile(
            home,
            name,
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
            region=REGION,
        )

    def accepted_from(self, act: Callable[[], object]) -> list[dict[str, Any]]:
        """Return the signed calls that the emulator accepted during ``act``, oldest first."""
        before = {event["eventID"] for event in self._events()}
        act()
        return [event for event in reversed(self._events()) if event["eventID"] not in before]

    def _events(self) -> list[dict[str, Any]]:
        with _unlogged():
            events = self._emulator.inside(lambda: self._client("cloudtrail").lookup_events(MaxResults=50)["Events"])
        return [json.loads(event["CloudTrailEvent"]) for event in events]

    def _client(self, service: str) -> Any:
        return self._root.client(service, endpoint_url=self._emulator.url)

    def _set_up(self) -> dict[str, str]:
        iam = self._client("iam")
        iam.create_user(UserName="developer")
        iam.put_user_policy(UserName="developer", PolicyName="p", PolicyDocument=_allow("sts:AssumeRole", APP))
        for name, trusted in (("app", USER), ("audited", APP)):
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=_trust(trusted))
        iam.put_role_policy(RoleName="app", PolicyName="chain", PolicyDocument=_allow("sts:AssumeRole", AUDITED))
        iam.put_role_policy(RoleName="app", PolicyName="bucket", PolicyDocument=_allow("s3:*", "*"))
        location = {"LocationConstraint": REGION}
        self._client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
        return iam.create_access_key(UserName="developer")["AccessKey"]


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep botocore's DEBUG lines of the emulator's root user out of the test's log: they hold its answers."""
    loggers = [logging.getLogger(name) for name in ("boto3", "botocore", "urllib3")]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    yield
    for logger in loggers:
        logger.setLevel(logging.NOTSET)


def _allow(action: str, resource: str) -> str:
    return _policy(Action=action, Resource=resource)


def _trust(principal: str) -> str:
    return _policy(Action="sts:AssumeRole", Principal={"AWS": principal})


def _policy(**statement: object) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})
