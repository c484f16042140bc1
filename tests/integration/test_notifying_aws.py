"""Notices at AWS: a topic of SNS and an event bus, with the credentials that the configuration says."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent

import botocore.session
import pytest
from support.daemon import write_profile
from support.emulators import Moto
from support.sts import StandInSts, error

from imds.aws.notifying import put_event
from imds.config import loading
from imds.config.channels import Channel, EventBridge, Sns
from imds.core.clock import SystemClock
from imds.core.errors import CredentialsError
from imds.core.notices import Notice
from imds.core.schedule import next_refresh
from imds.core.skew import Skew
from imds.core.store import Store
from imds.daemon.keepers import Keepers
from imds.daemon.notifying import Notifying

OWN, APP, AUDITED = "123456789012", "111122223333", "444455556666"
"""Accounts: moto's for keys that it does not know, and those of the two roles."""

CONFIG = """\
    region: eu-west-1
    roles:
      app: {role_arn: arn:aws:iam::111122223333:role/app, source: {profile: work}}
      audited: {role_arn: arn:aws:iam::444455556666:role/audited, source: {role: app}}
      ci: {role_arn: arn:aws:iam::111122223333:role/ci, source: {web_identity: {token_file: /nowhere/token}}}
"""
TELL = Callable[..., object]


def notice() -> Notice:
    """Return what is told of a user whose name is not of ASCII."""
    values = {"event": "activated", "role": "app", "user": "jürgen", "uid": 1000, "host": "laptop", "id": "a1"}
    return Notice(at=datetime.now(UTC), reason="INC-7 \n<x> {role}", **values)


def keepers_of(clock: SystemClock) -> Keepers:
    """Return what keeps roles in this process, whose environment is the daemon's."""
    skew = Skew(clock=clock)
    return Keepers(
        store=Store(clock=clock, skew=skew),
        clock=clock,
        skew=skew,
        schedule=next_refresh,
        random=random.Random(1),
        environment=os.environ,
        is_own=lambda _host, _port: False,
    )


@pytest.fixture
async def tell(profiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TELL]:
    """Return what tells the channels of a ``notify`` at an endpoint, as a daemon with those roles does."""
    write_profile(profiles)
    async with asyncio.TaskGroup() as group:
        made: list[Keepers] = []

        async def told(channel: Channel, url: str, source_of: str | None = None) -> str:
            monkeypatch.setenv("AWS_ENDPOINT_URL", url)
            path = tmp_path / "imds.yaml"
            path.write_text(dedent(CONFIG))
            config = loading.load(path, variables={"user": "me", "host": "here", "pid": "1"}, uid=os.getuid())
            keepers = keepers_of(clock := SystemClock())
            made.append(keepers)
            keepers.live_in(group)
            await keepers.load_botocore()
            keepers.apply({name: config.roles[name] for name in ("app", "audited")}, config.region, None)
            telling = Notifying(clock=clock, environment={}, keepers=keepers, roles=lambda: config.roles)
            (outcome,) = await telling.tell([channel], notice(), source_of=source_of)
            return outcome.error

        yield told
        for keepers in made:
            for task in keepers._tasks.values():
                task.cancel()
            keepers.close()


class Account:
    """An account at moto, with a queue that hears of a topic or a bus."""

    def __init__(self, url: str, account: str) -> None:
        self._session = botocore.session.Session()
        self._url, self.number = url, account
        self._keys = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "x"}
        if account != OWN:
            arn = f"arn:aws:iam::{account}:role/reader"
            given = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="reader")["Credentials"]
            self._keys = {
                "aws_access_key_id": given["AccessKeyId"],
                "aws_secret_access_key": given["SecretAccessKey"],
                "aws_session_token": given["SessionToken"],
            }
        self._sqs = self.client("sqs")
        self._queue = self._sqs.create_queue(QueueName="heard")["QueueUrl"]
        self.queue_arn = f"arn:aws:sqs:eu-west-1:{account}:heard"

    def client(self, service: str):
        return self._session.create_client(service, region_name="eu-west-1", endpoint_url=self._url, **self._keys)

    def topic(self, name: str) -> str:
        """Return the ARN of a topic that the queue hears."""
        sns = self.client("sns")
        arn = sns.create_topic(Name=name)["TopicArn"]
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=self.queue_arn)
        return arn

    def hear_bus(self) -> None:
        """Let the queue hear the account's default bus."""
        events = self.client("events")
        events.put_rule(Name="imds", EventPattern=json.dumps({"source": ["imds"]}))
        events.put_targets(Rule="imds", Targets=[{"Id": "1", "Arn": self.queue_arn}])

    def heard(self) -> list[dict]:
        """Return what the queue has heard since it was last asked."""
        messages = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in messages]


async def test_topic_gets_the_message(tell: TELL, moto_server: Moto) -> None:
    """A topic gets the text, a subject that SNS takes, and attributes to filter by."""
    account = Account(moto_server.url, APP)
    topic = Sns(topic_arn=account.topic("oncall"), as_role="app", message="{user}: {reason}")
    assert not await tell(topic, moto_server.url)
    (heard,) = account.heard()
    assert heard["Subject"] == "j?rgen has activated break-glass role app on laptop"
    assert heard["Message"] == "jürgen: INC-7 ?<x> {role}"
    attributes = {name: one["Value"] for name, one in heard["MessageAttributes"].items()}
    assert attributes == {"event": "activated", "role": "app", "user": "jürgen", "host": "laptop"}


async def test_topic_that_keeps_the_order(tell: TELL, moto_server: Moto) -> None:
    """A FIFO topic gets what it asks for besides."""
    account = Account(moto_server.url, APP)
    topic = account.client("sns").create_topic(Name="order.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    assert not await tell(Sns(topic_arn=topic, as_role="app"), moto_server.url)


@pytest.mark.parametrize(
    ("account", "as_role", "source_of"),
    [(AUDITED, "audited", "app"), (OWN, None, "app"), (APP, None, "audited")],
    ids=["the role that is named", "what the role comes from", "what a chained role comes from"],
)
async def test_bus_gets_the_event(
    tell: TELL, moto_server: Moto, account: str, as_role: str | None, source_of: str
) -> None:
    """An event is put with the right credentials, as the account shows on whose default bus it is."""
    listening = Account(moto_server.url, account)
    listening.hear_bus()
    assert not await tell(EventBridge(bus="default", as_role=as_role), moto_server.url, source_of)
    (heard,) = listening.heard()
    assert (heard["source"], heard["detail-type"]) == ("imds", "imds activated")
    assert heard["detail"]["reason"] == "INC-7 ?<x> {role}"
    assert heard["detail"]["user"] == "jürgen"
    assert heard["detail"]["message"].startswith("jürgen has activated")


async def test_aws_that_does_not_take_it(tell: TELL, moto_server: Moto, sts: StandInSts) -> None:
    """What AWS says is told in its words."""
    nowhere = Sns(topic_arn=f"arn:aws:sns:eu-west-1:{APP}:nowhere", as_role="app")
    assert (await tell(nowhere, moto_server.url)).startswith("NotFound: ")
    no = error("AuthorizationError", "not authorized to perform: SNS:Publish", status=403)
    sts.behaviour = lambda call: no(call) if call["Action"] == "Publish" else sts.session(call)
    assert await tell(nowhere, sts.url) == "AuthorizationError: not authorized to perform: SNS:Publish"


async def test_aws_that_does_not_answer(tell: TELL, sts: StandInSts) -> None:
    """AWS has the channel's time and no more."""
    slow = sts.slow()
    sts.behaviour = lambda call: slow(call) if call["Action"] == "Publish" else sts.session(call)
    topic = Sns(topic_arn=f"arn:aws:sns:eu-west-1:{APP}:slow", as_role="app", timeout=timedelta(seconds=1))
    assert await tell(topic, sts.url) == "no end within 1s"
    sts.release()


async def test_credentials_that_are_not_there(tell: TELL, sts: StandInSts) -> None:
    """A source without credentials, a role without a session and nobody named at all are told as such."""
    bus = EventBridge(bus="default")
    assert "gives no credentials: write as: ROLE" in await tell(bus, sts.url, "ci")
    assert "write as: ROLE" in await tell(bus, sts.url)
    sts.behaviour = error("AccessDenied", "not you", status=403)
    assert "not you" in await tell(EventBridge(bus="default", as_role="app"), sts.url)


def test_bus_that_refuses_an_event() -> None:
    """A bus that answers but does not take the event is a failure, with its code."""

    class Bus:
        def put_events(self, **_: object) -> object:
            return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException", "ErrorMessage": "later"}]}

    with pytest.raises(CredentialsError, match="ThrottlingException: later"):
        put_event(Bus(), bus="default", notice=notice(), message="")


async def test_daemon_that_has_only_just_started() -> None:
    """Before botocore is loaded there is nobody to call AWS, which is said."""
    keepers = keepers_of(clock := SystemClock())
    telling = Notifying(clock=clock, environment={}, keepers=keepers, roles=dict)
    (outcome,) = await telling.tell([EventBridge(bus="default", as_role="app")], notice())
    assert "only just started" in outcome.error
