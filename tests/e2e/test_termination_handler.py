"""What aws-node-termination-handler makes of simulated events: it drains for each kind, and for nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from support.daemon import DaemonProcess, write_config, write_profile
from support.sts import StandInSts
from support.termination_handler import Interruption, TerminationHandler

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = """\
    region: eu-west-1
    listen: ["http://127.0.0.1:0"]
    roles:
      app: {role_arn: "arn:aws:iam::111122223333:role/app", source: {profile: work}}
    instances:
      default: {role: app, metadata: {instance-type: m5.large, public-ipv4: 192.0.2.54}}
"""
BEGINS, ENDS = datetime(2031, 1, 9, 8, 0, 43, tzinfo=UTC), datetime(2031, 1, 21, 20, 17, 23, tzinfo=UTC)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A daemon on a loopback port."""
    home = tmp_path_factory.mktemp("events")
    write_profile(home)
    config = write_config(home / "imds.yaml", CONFIG)
    with StandInSts() as sts:
        environment = {"AWS_ENDPOINT_URL_STS": sts.url}
        with DaemonProcess(home, "serve", "--config", str(config), environment=environment) as daemon:
            yield daemon


@pytest.fixture
def handler(daemon) -> Iterator[TerminationHandler]:
    """One that watches the daemon, where nothing is simulated before and after."""
    made = TerminationHandler(daemon.address)
    assert made.interruptions() == []
    yield made
    daemon.imds("simulate", "--clear")
    assert made.interruptions() == []


def test_it_knows_its_node(handler):
    """Everything that it tells of the node when it starts is there."""
    told = handler.node()
    assert [name for name, text in told.items() if not text] == []
    assert (told["accountId"], told["region"]) == ("111122223333", "eu-west-1")
    assert (told["instanceType"], told["instanceLifeCycle"]) == ("m5.large", "on-demand")
    assert told["publicIp"] == "192.0.2.54"


@pytest.mark.parametrize("action", ["terminate", "stop"])
def test_spot_interruption(action, daemon, handler):
    """A notice leads it to drain within the two minutes that are left."""
    daemon.imds("simulate", "spot-interruption", "--action", action)
    (found,) = handler.interruptions()
    assert (found.kind, found.code) == ("SPOT_ITN", action)
    assert timedelta(0) < found.start - datetime.now(UTC) <= timedelta(minutes=2)
    assert handler.node()["instanceLifeCycle"] == "spot"


def test_rebalance_recommendation(daemon, handler):
    """A recommendation has been given just now."""
    daemon.imds("simulate", "rebalance")
    (found,) = handler.interruptions()
    assert found.kind == "REBALANCE_RECOMMENDATION"
    assert timedelta(0) <= datetime.now(UTC) - found.start < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("code", "uncordons"),
    [
        ("instance-reboot", True),
        ("instance-retirement", True),
        ("instance-stop", True),
        ("system-maintenance", False),
        ("system-reboot", True),
    ],
)
def test_scheduled_event(code, uncordons, daemon, handler):
    """An event is read with its times, whatever its code, until it is history."""
    told = ("--event-id", "instance-event-1", "--code", code)
    times = {"--not-before": BEGINS, "--not-after": ENDS}
    options = [word for name, moment in times.items() for word in (name, f"{moment:%Y-%m-%dT%H:%M:%SZ}")]
    daemon.imds("simulate", "maintenance", *told, *options)
    expected = Interruption(
        kind="SCHEDULED_EVENT", start=BEGINS, end=ENDS, state="active", code=code, uncordons=uncordons
    )
    assert handler.interruptions() == [expected]
    daemon.imds("simulate", "maintenance", *told, "--state", "completed")
    assert handler.interruptions() == []


def test_scheduled_event_without_an_end(daemon, handler):
    """An event that has no end is over for it when it begins."""
    daemon.imds("simulate", "maintenance", "--not-before", f"{BEGINS:%Y-%m-%dT%H:%M:%SZ}")
    (found,) = handler.interruptions()
    assert found.start == found.end == BEGINS


def test_lifecycle_of_auto_scaling(daemon, handler):
    """It drains for Terminated, and for no other state of Auto Scaling."""
    daemon.imds("simulate", "asg-lifecycle", "InService")
    assert handler.interruptions() == []
    daemon.imds("simulate", "asg-lifecycle", "Terminated")
    assert [found.kind for found in handler.interruptions()] == ["ASG_LIFECYCLE"]


def test_all_at_once(daemon, handler):
    """Every kind is found beside the others."""
    for event in (["spot-interruption"], ["rebalance"], ["maintenance"], ["asg-lifecycle", "Terminated"]):
        daemon.imds("simulate", *event)
    kinds = [found.kind for found in handler.interruptions()]
    assert kinds == ["SPOT_ITN", "REBALANCE_RECOMMENDATION", "SCHEDULED_EVENT", "ASG_LIFECYCLE"]
