"""What the tests of the AWS side share: botocore in this process, as the daemon has it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from support.fakes import FakeClock
from support.machine import Clocks
from support.namespaces import Namespace
from support.sts import StandInSts

from imds.aws.clients import Clients
from imds.aws.environment import never_ask_ourselves
from imds.aws.issuers import AssumedRole
from imds.aws.mfa import MfaCodes
from imds.aws.patience import Patience, Watched
from imds.aws.sources import SharedSource
from imds.aws.sources.profile import load_profile, profile_files
from imds.aws.threads import AwsThreads
from imds.core.roles import RoleSession


@pytest.fixture(autouse=True)
def quiet_botocore(no_secret_is_logged: None, caplog: pytest.LogCaptureFixture) -> None:
    """Keep botocore's DEBUG lines out of the log, as the daemon does."""
    for name in ("boto3", "botocore", "urllib3", "signxml"):
        caplog.set_level(logging.WARNING, logger=name)


@pytest.fixture
def clocks(tmp_path: Path) -> Clocks:
    """A daemon's clocks, which the test moves."""
    return Clocks(tmp_path)


@pytest.fixture
def sts() -> Iterator[StandInSts]:
    """An STS that follows the test's script."""
    with StandInSts() as server:
        yield server


@pytest.fixture
def sts_in() -> Callable[[Namespace], StandInSts]:
    """Return an STS inside a network namespace."""
    return lambda namespace: StandInSts(namespace=namespace)


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process reads an empty ``~/.aws`` and asks no metadata service; returns the home directory."""
    home = tmp_path / "in-process"
    (home / ".aws").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / ".aws" / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / ".aws" / "credentials"))
    variables: dict[str, str] = {}
    never_ask_ourselves(variables)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return home


@pytest.fixture
async def threads() -> AsyncIterator[AwsThreads]:
    """The pool that botocore works in."""
    pool = AwsThreads()
    yield pool
    for each in (pool._calls, pool._loads):
        await asyncio.to_thread(each.shutdown)


@pytest.fixture
def source_clock() -> FakeClock:
    """What sources count their intervals by."""
    return FakeClock()


@pytest.fixture
def source(profiles: Path, threads: AwsThreads, source_clock: FakeClock) -> Callable[..., SharedSource]:
    """Return the source of a profile."""

    def make(profile: str | None = "work", region: str | None = "eu-west-1") -> SharedSource:
        return SharedSource(
            load=partial(load_profile, profile, region, MfaCodes(None)),
            clients=Clients(profile=profile, region=region, measure=lambda _: None),
            threads=threads,
            clock=source_clock,
            watched=Watched(profile_files(os.environ)),
            patience=Patience(clock=source_clock),
        )

    return make


@pytest.fixture
def assumed(source: Callable[..., SharedSource], threads: AwsThreads) -> Callable[..., AssumedRole]:
    """Return the issuer of a role's sessions with a profile's credentials."""

    def make(role_arn: str, profile: str = "work", **request: object) -> AssumedRole:
        session = RoleSession(role_arn=role_arn, role_session_name="someone-here", **request)
        return AssumedRole(session=session, source=source(profile), threads=threads)

    return make
