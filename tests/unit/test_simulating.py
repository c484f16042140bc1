"""What may be asked of the simulation, by a client of the control socket and in a script."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from imds.cli.simulation_script import read_script
from imds.core.errors import BadRequestError, ConfigError
from imds.core.events import EVENTS
from imds.core.instances import Instance
from imds.core.simulation import MOST_EVENTS, Simulations
from imds.daemon.event_fields import READERS
from imds.daemon.simulating import Simulating

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2030, 1, 1, tzinfo=UTC)
INSTANCES = {
    "default": Instance(name="default", role="app", roles=frozenset({"app", "audited"})),
    "other": Instance(name="other", role="private", roles=frozenset({"private"})),
}
IN_FULL: dict[str, dict[str, Any]] = {
    "spot-interruption": {"action": "stop", "notice": 300},
    "rebalance": {},
    "maintenance": {"code": "instance-stop", "state": "completed", "event_id": "e-1", "description": "d"},
    "asg-lifecycle": {"state": "Warmed:Running"},
    "role": {"role": "audited"},
    "tag": {"tags": {"Stage": "test", "Owner": None}},
    "fault": {"fault": "latency", "delay": 0.8, "for": 30, "count": 1, "uid": 0},
}


def simulating(*, allow_faults: bool = True) -> Simulating:
    """Return what takes events in, for two instances."""
    return Simulating(Simulations(), instances=lambda: INSTANCES, allow_faults=lambda: allow_faults)


def test_every_event_has_its_reader() -> None:
    """Those that can hold, and the one that ends them."""
    assert {*READERS} == {*EVENTS, "clear"}


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_is_listed_by_its_name(event: str) -> None:
    """While it is to come and while it holds, until events of its name are cleared."""
    taken = simulating()
    taken.add([{"event": event, **IN_FULL[event]}, {"event": event, "in": 60, **IN_FULL[event]}], NOW)
    listed = taken.listed(NOW)["default"]
    assert [*listed["now"]] == [coming["event"] for coming in listed["coming"]] == [event]
    assert taken.kinds(NOW) == {"default": [event]}
    taken.clear(event, None, NOW)
    assert taken.listed(NOW) == {}


def test_tags_look_the_same_before_and_after() -> None:
    """What is to come has the shape of what holds: a key, and its value or none."""
    taken = simulating()
    taken.add([{"event": "tag", **IN_FULL["tag"]}, {"event": "tag", "in": 60, **IN_FULL["tag"]}], NOW)
    listed = taken.listed(NOW)["default"]
    assert listed["now"]["tag"] == listed["coming"][0]["tags"] == {"Stage": "test", "Owner": None}


def test_what_is_listed_is_plain() -> None:
    """Times as AWS writes them, durations in seconds, and what a clearing clears."""
    taken = simulating()
    taken.add([{"event": "fault", **IN_FULL["fault"]}, {"event": "clear", "in": 60, "kind": "fault"}], NOW)
    fault = {"kind": "latency", "until": "2030-01-01T00:00:30Z", "delay": 0.8, "count": 1, "uid": 0}
    assert taken.listed(NOW)["default"] == {
        "now": {"fault": [fault]},
        "coming": [{"at": "2030-01-01T00:01:00Z", "event": "clear", "kind": "fault"}],
    }


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("rebalance", "an event is an object"),
        ({}, "event must be one of spot-interruption, rebalance"),
        ({"event": "role", "role": "private"}, "instance default does not allow role private; it allows: app, audited"),
        ({"event": "role"}, "name a role, or detach the one there is"),
        ({"event": "role", "role": "app", "detach": True}, "name a role, or detach the one there is"),
        ({"event": "asg-lifecycle"}, "state must be one of InService, Detached"),
        ({"event": "asg-lifecycle", "state": "Gone"}, "Warmed:Terminated, not Gone"),
        ({"event": "spot-interruption", "action": "explode"}, "action must be one of terminate, stop, hibernate"),
        ({"event": "maintenance", "code": "x"}, "code must be one of system-reboot"),
        ({"event": "maintenance", "state": "x"}, "state must be one of active"),
        ({"event": "maintenance", "event_id": "a b"}, "event_id must be an id"),
        ({"event": "maintenance", "not_before": "2030-02-30T00:00:00Z"}, "not_before: there is no such time"),
        ({"event": "maintenance", "description": "a\nb"}, "description must be a short text"),
        ({"event": "tag", "tags": {"a b": "c"}}, "a b is not a tag that EC2 shows"),
        ({"event": "tag", "tags": {"a": "c" * 257}}, "the value of a must be a text of 256 characters"),
        ({"event": "tag", "tags": {"a": "\udcff"}}, "the value of a must be a text"),
        ({"event": "tag", "tags": {}}, "tags must say 1 to 50 keys"),
        ({"event": "rebalance", "instance": "nowhere"}, "no instance nowhere; there are: default, other"),
        ({"event": "rebalance", "in": 60, "at": "2030-01-01T00:00:00Z"}, "in and at say the same in two ways"),
        ({"event": "rebalance", "in": "1m"}, "in must be a number of seconds, 31622400 at most"),
        ({"event": "rebalance", "at": "9999-01-01T00:00:00Z"}, "is too far away"),
        ({"event": "rebalance", "at": "tomorrow"}, "at must be a time such as"),
        ({"event": "rebalance", "colour": "red"}, "rebalance has no colour"),
        ({"event": "fault", "fault": "fire"}, "fault must be one of latency"),
        ({"event": "fault", "fault": "latency"}, "a latency needs a delay"),
        ({"event": "fault", "fault": "reset", "delay": 1}, "reset has no delay"),
        ({"event": "fault", "fault": "latency", "delay": 120}, "delay must be a number of seconds, 60 at most"),
        ({"event": "fault", "fault": "reset", "for": 7200}, "for must be a number of seconds, 3600 at most"),
        ({"event": "fault", "fault": "reset", "count": 0}, "count must be a whole number from 1 to 1000000"),
        ({"event": "fault", "fault": "reset", "uid": -1}, "uid must be a whole number from 0"),
        ({"event": "clear", "kind": "weather"}, "no kind of event weather; there are: spot-interruption"),
    ],
)
def test_a_wrong_event_is_told_and_nothing_is_taken(event: object, message: str) -> None:
    """By its number among all that were sent, of which none is taken then."""
    taken = simulating()
    with pytest.raises(BadRequestError) as caught:
        taken.add([{"event": "rebalance"}, event], NOW)
    assert str(caught.value).startswith("1: ")
    assert message in str(caught.value)
    assert taken.listed(NOW) == {}


@pytest.mark.parametrize("events", [None, {}, [], [{"event": "rebalance"}] * (MOST_EVENTS + 1)])
def test_what_is_no_list_of_events(events: object) -> None:
    """Nothing, too many, or something else."""
    with pytest.raises(BadRequestError, match="must be a list of 1 to 1000 events"):
        simulating().add(events, NOW)


def test_no_more_events_may_be_to_come() -> None:
    """Those that have come make room."""
    taken, later = simulating(), {"event": "rebalance", "in": 60}
    taken.add([later] * MOST_EVENTS, NOW)
    with pytest.raises(BadRequestError, match="more than 1000 events of instance default are to come: clear some"):
        taken.add([later], NOW)


@pytest.mark.parametrize(("kind", "instance"), [("weather", None), (None, "nowhere")])
def test_only_what_there_is_can_be_cleared(kind: str | None, instance: str | None) -> None:
    """A slip of the pen does not pass for success."""
    with pytest.raises(BadRequestError, match="there are: "):
        simulating().clear(kind, instance, NOW)


@pytest.mark.parametrize("fault", ["expired", "near-expiry"])
def test_a_false_expiry_needs_leave(fault: str) -> None:
    """Without ``allow_faults`` no document ever tells one; what only fails may be simulated."""
    taken = simulating(allow_faults=False)
    with pytest.raises(BadRequestError, match="allow_faults: true would let them"):
        taken.add([{"event": "fault", "fault": fault}], NOW)
    taken.add([{"event": "fault", "fault": "reset"}], NOW)


def script(tmp_path: Path, text: str) -> list[tuple[int, dict[str, Any]]]:
    """Read a script."""
    path = tmp_path / "drill.yaml"
    path.write_text(text)
    return read_script(path)


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("rebalance:", {"event": "rebalance"}),
        (
            "{after: 1h30m, role: audited, instance: x}",
            {"event": "role", "in": 5400, "instance": "x", "role": "audited"},
        ),
        (
            "spot-interruption: {action: stop, notice: 5m}",
            {"event": "spot-interruption", "action": "stop", "notice": 300},
        ),
        ("{after: 0, role: {detach: true}}", {"event": "role", "in": 0, "detach": True}),
        ("tag: {Stage: 07, Owner: null}", {"event": "tag", "tags": {"Stage": "07", "Owner": None}}),
        (
            "fault: {fault: latency, delay: 800ms, for: 1m, count: 3, user: root}",
            {"event": "fault", "fault": "latency", "delay": 0.8, "for": 60, "count": 3, "uid": 0},
        ),
        ("clear: all", {"event": "clear"}),
        ("clear: tag", {"event": "clear", "kind": "tag"}),
    ],
)
def test_what_a_script_asks_for(text: str, event: dict[str, Any], tmp_path: Path) -> None:
    """The same as a command does."""
    assert script(tmp_path, f"- rebalance:\n- {text}\n") == [(1, {"event": "rebalance"}), (2, event)]


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("- {after: 1m}\n", ":1: ", "names no event; one of: spot-interruption"),
        ("- rebalance:\n- {rebalance: , role: app}\n", ":2: ", "names several events"),
        ("- fault: {fault: latency, delay: soon}\n", ":1: ", "'soon' is not a duration"),
        ("- fault: {fault: latency, delay: 2m}\n", ":1: ", "2m is not between 0s and 1m"),
        ("- fault: {fault: reset, for: 2h}\n", ":1: ", "2h is not between 0s and 1h"),
        ("- fault: {fault: reset, count: 0}\n", ":1: ", "must be a whole number from 1 to 1000000"),
        ("- fault: {fault: reset, user: nobody-of-that-name}\n", ":1: ", "there is no user"),
        ("- {after: 9999h, rebalance: }\n", ":1: ", "9999h is not between 0s and 8784h"),
        ("- spot-interuption:\n", ":1: ", "did you mean spot-interruption?"),
        ("- role: {name: app}\n", ":1: ", "is not a key"),
        ("rebalance:\n", ":1: ", "must be a list"),
        ("[]\n", ":1: ", "has no events"),
        ("", ": ", "is empty"),
        ("- tag: [a]\n", ":1: ", "must be a mapping"),
    ],
)
def test_a_wrong_script_is_told_at_its_line(text: str, where: str, message: str, tmp_path: Path) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigError) as caught:
        script(tmp_path, text)
    assert f"drill.yaml{where}" in str(caught.value)
    assert message in str(caught.value)
