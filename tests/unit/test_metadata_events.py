"""What simulated events look like to who reads the metadata."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.metadata import LAUNCHED, whole

from imds.core.events import LifecycleState, Maintenance, Rebalance, SpotInterruption
from imds.core.simulation import Simulated

SPOT, REBALANCE = "meta-data/spot", "meta-data/events/recommendations/rebalance"
SCHEDULED, HISTORY = "meta-data/events/maintenance/scheduled", "meta-data/events/maintenance/history"


def test_nothing_of_it_is_there_without_events() -> None:
    """A node handler that found a notice would drain its node."""
    told = whole()
    assert not any(path.startswith((SPOT, REBALANCE, "meta-data/autoscaling", "meta-data/tags")) for path in told)
    assert told[SCHEDULED] == told[HISTORY] == "[]"
    assert told["meta-data/instance-life-cycle"] == "on-demand"


@pytest.mark.parametrize("action", ["terminate", "stop", "hibernate"])
def test_a_spot_interruption(action: str) -> None:
    """The action and its time; the older path only where the instance ends. The instance is a Spot instance then."""
    told = whole(
        simulated=Simulated(spot_interruption=SpotInterruption(action=action, time=LAUNCHED + timedelta(minutes=2)))
    )
    assert told[f"{SPOT}/instance-action"] == f'{{"action":"{action}","time":"2030-01-01T12:02:00Z"}}'
    assert told.get(f"{SPOT}/termination-time") == ("2030-01-01T12:02:00Z" if action == "terminate" else None)
    assert told["meta-data/instance-life-cycle"] == "spot"


def test_a_rebalance_recommendation() -> None:
    """The time of its notice."""
    told = whole(simulated=Simulated(rebalance=Rebalance(notice_time=LAUNCHED)))
    assert told[REBALANCE] == '{"noticeTime":"2030-01-01T12:00:00Z"}'
    assert told["meta-data/instance-life-cycle"] == "spot"


def maintenance(state: str, **times: object) -> Maintenance:
    """Return an event."""
    return Maintenance(
        event_id=f"instance-event-{state}",
        code="system-reboot",
        state=state,
        description="scheduled reboot",
        not_before=LAUNCHED,
        **times,
    )


def test_scheduled_maintenance_is_laid_out_as_ec2s() -> None:
    """Blanks, order and times are EC2's, in English whatever the host speaks."""
    later = LAUNCHED + timedelta(minutes=17, seconds=23)
    told = whole(simulated=Simulated(maintenance=(maintenance("active", not_after=later, not_before_deadline=later),)))
    assert told[SCHEDULED] == (
        "[\n"
        "  {\n"
        '    "NotBefore" : "01 Jan 2030 12:00:00 GMT",\n'
        '    "Code" : "system-reboot",\n'
        '    "Description" : "scheduled reboot",\n'
        '    "EventId" : "instance-event-active",\n'
        '    "NotAfter" : "01 Jan 2030 12:17:23 GMT",\n'
        '    "NotBeforeDeadline" : "01 Jan 2030 12:17:23 GMT",\n'
        '    "State" : "active"\n'
        "  }\n"
        "]"
    )
    assert told[HISTORY] == "[]"


@pytest.mark.parametrize(("state", "mark"), [("completed", "[Completed] "), ("canceled", "[Canceled] ")])
def test_what_is_over_is_history(state: str, mark: str) -> None:
    """It is marked as EC2 does, and no longer scheduled."""
    told = whole(simulated=Simulated(maintenance=(maintenance(state),)))
    assert told[SCHEDULED] == "[]"
    assert f'"Description" : "{mark}scheduled reboot"' in told[HISTORY]
    assert f'"State" : "{state}"' in told[HISTORY]
    assert "NotAfter" not in told[HISTORY]


def test_the_state_to_which_auto_scaling_goes() -> None:
    """The word alone."""
    told = whole(simulated=Simulated(asg_lifecycle=LifecycleState(state="Warmed:Stopped")))
    assert told["meta-data/autoscaling/target-lifecycle-state"] == "Warmed:Stopped"


def test_tags_change_over_those_of_the_operator() -> None:
    """A value is another, a tag is new, one is gone; where tags are not shown they stay so."""
    stated = {"tags/instance/a": "1", "tags/instance/b": "2"}
    simulated = Simulated(tag={"a": "9", "b": None, "c": "3"})
    told = whole(stated, simulated=simulated)
    assert {path.rpartition("/")[2]: text for path, text in told.items() if "tags" in path} == {"a": "9", "c": "3"}
    assert not any("tags" in path for path in whole(stated, simulated=simulated, tags_shown=False))
