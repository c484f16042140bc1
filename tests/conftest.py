"""Fixtures of all tiers."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import DaemonProcess, write_config, write_profile
from support.emulators import Emulator, Moto, ministack, moto
from support.fakes import KNOWN_SECRETS, FakeClock
from support.namespaces import Namespace

for _name in [name for name in os.environ if name.startswith(("AWS_", "IMDS_")) and name != "IMDS_CLIENTS"]:
    del os.environ[_name]  # no test sees the developer's own set-up


@pytest.fixture(autouse=True)
def no_secret_is_logged(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Fail any test in whose log or output a known secret appears."""
    caplog.set_level(logging.DEBUG)
    yield
    records = [*caplog.get_records("setup"), *caplog.get_records("call")]
    said = "\n".join([*(record.getMessage() + str(record.exc_info or "") for record in records), *capfd.readouterr()])
    for secret in KNOWN_SECRETS:
        assert secret not in said, "a secret is in the log"


@pytest.fixture
def clock() -> FakeClock:
    """A clock that the test moves."""
    return FakeClock()


@pytest.fixture(scope="session")
def moto_server() -> Iterator[Moto]:
    """One moto for all; authorization is off."""
    with moto() as server:
        yield server


@pytest.fixture(scope="session")
def ministack_server() -> Iterator[Emulator]:
    """One ministack for all, with AUTH=true."""
    with ministack() as server:
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory with a profile ``work``."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    write_profile(home)
    return home


APP_CONFIG = """\
    region: eu-west-1
    listen: ["http://127.0.0.1:0"]
    roles:
      app:
        role_arn: arn:aws:iam::111122223333:role/app
        source: {profile: work}
      audited:
        role_arn: arn:aws:iam::444455556666:role/audited
        source: {role: app}
"""


@pytest.fixture
def served(home: Path, moto_server: Moto) -> Iterator[DaemonProcess]:
    """A daemon that serves role ``app`` (default) and ``audited`` (chained), with moto as STS."""
    config = write_config(home / "imds.yaml", APP_CONFIG)
    environment = {"AWS_ENDPOINT_URL_STS": moto_server.url}
    with DaemonProcess(home, "serve", "--config", str(config), environment=environment) as daemon:
        yield daemon


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """A network namespace with EC2's addresses; tests that use it are marked ``needs_root``."""
    with Namespace("t") as made:
        yield made
