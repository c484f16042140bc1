"""Timelines of simulated events: what holds when, what ends, and what is forgotten."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imds.core.callers import Caller
from imds.core.events import (
    EVENTS,
    Cleared,
    Fault,
    LifecycleState,
    Maintenance,
    Rebalance,
    RoleChange,
    SpotInterruption,
    TagChange,
)
from imds.core.simulation import NOTHING, Simulated, Simulations, Timeline

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SPOT = SpotInterruption(action="stop", time=NOW)
REBALANCE = Rebalance(notice_time=NOW)
MAINTENANCE = Maintenance(event_id="e", code="c", state="active", description="d", not_before=NOW)
FAULT = Fault(kind="reset", until=NOW + 9 * SECOND)
EACH = [
    *(SPOT, REBALANCE, MAINTENANCE, LifecycleState(state="Standby"), RoleChange(role=None)),
    *(TagChange(tags=(("a", "b"),)), FAULT),
]


def caller(uid: int) -> Caller:
    """Return a caller of a user."""
    return Caller(address="127.0.0.1", listener="", uid=uid)


def test_an_event_holds_from_its_moment_on() -> None:
    """Before it there is nothing of it; afterwards it stays."""
    timeline = Timeline()
    timeline.add(NOW + SECOND, REBALANCE)
    assert timeline.at(NOW) is NOTHING
    assert timeline.coming == ((NOW + SECOND, REBALANCE),)
    assert timeline.at(NOW + SECOND).rebalance == REBALANCE
    assert timeline.at(NOW + timedelta(days=9)).rebalance == REBALANCE
    assert timeline.coming == ()


def test_what_holds_is_the_same_object_until_something_changes() -> None:
    """Who keeps what it made of it need not make it again."""
    timeline = Timeline()
    timeline.add(NOW, SPOT)
    assert timeline.at(NOW) is timeline.at(NOW + SECOND)


def of(simulated: Simulated, event: str) -> object:
    """Return what holds of the events of a name."""
    return getattr(simulated, event.replace("-", "_"))


@pytest.mark.parametrize("kind", EVENTS)
def test_clearing_a_kind_leaves_the_others(kind: str) -> None:
    """What holds and what is to come of one kind is forgotten, and nothing else."""
    timeline = Timeline()
    for event in EACH:
        timeline.add(NOW, event)
        timeline.add(NOW + 3 * SECOND, event)
    before = timeline.at(NOW)
    timeline.clear(kind)
    after = timeline.at(NOW)
    assert of(after, kind) == of(NOTHING, kind) != of(before, kind)
    assert all(of(after, other) == of(before, other) for other in EVENTS if other != kind)
    assert sorted(event.EVENT for _, event in timeline.coming) == sorted({*EVENTS} - {kind})


def test_a_timeline_may_clear_itself() -> None:
    """A script can end what it began: one kind, and then everything."""
    timeline = Timeline()
    for event in EACH:
        timeline.add(NOW, event)
    timeline.add(NOW + SECOND, Cleared(kind="spot-interruption"))
    timeline.add(NOW + 2 * SECOND, Cleared())
    assert timeline.at(NOW + SECOND).spot_interruption is None
    assert timeline.at(NOW + SECOND).rebalance is not None
    assert timeline.at(NOW + 2 * SECOND) == NOTHING


def test_a_maintenance_event_replaces_the_one_with_its_id() -> None:
    """A state changes in place; another id is another event."""
    done = Maintenance(event_id="e", code="c", state="completed", description="d", not_before=NOW)
    other = Maintenance(event_id="f", code="c", state="active", description="d", not_before=NOW)
    assert NOTHING.after(MAINTENANCE).after(other).after(done).maintenance == (other, done)


def test_tags_add_up() -> None:
    """The last word on a key holds; a key that nobody names stays."""
    first, second = TagChange(tags=(("a", "1"), ("b", "2"))), TagChange(tags=(("a", None), ("c", "3")))
    assert NOTHING.after(first).after(second).tag == {"a": None, "b": "2", "c": "3"}


def test_a_fault_ends_by_itself() -> None:
    """At its end nothing goes wrong any more, whether anybody asked meanwhile or not."""
    simulations = Simulations()
    simulations.timeline("default").add(NOW, FAULT)
    assert simulations.faults("default", caller(1), NOW + 8 * SECOND) == (FAULT,)
    assert simulations.faults("default", caller(1), NOW + 9 * SECOND) == ()
    assert simulations.at("default", NOW + 9 * SECOND) == NOTHING


def test_a_fault_is_for_its_user_and_instance_only() -> None:
    """Nobody else notices."""
    simulations, fault = Simulations(), Fault(kind="reset", until=NOW + SECOND, uid=7)
    simulations.timeline("default").add(NOW, fault)
    assert simulations.faults("default", caller(7), NOW) == (fault,)
    assert simulations.faults("default", caller(8), NOW) == ()
    assert simulations.faults("other", caller(7), NOW) == ()


def test_a_fault_with_a_count_is_over_after_so_many_requests() -> None:
    """Those who do not notice it are not counted."""
    simulations, fault = Simulations(), Fault(kind="reset", until=NOW + SECOND, count=2, uid=7)
    simulations.timeline("default").add(NOW, fault)
    noticed = [simulations.faults("default", caller(uid), NOW) for uid in (7, 8, 7, 7)]
    assert noticed == [(fault,), (), (fault,), ()]


def test_simulations_are_over_once_all_is_cleared() -> None:
    """Then requests cost nothing more; one instance may be cleared alone."""
    simulations = Simulations()
    assert not simulations
    simulations.timeline("one").add(NOW, SPOT)
    simulations.timeline("two").add(NOW + SECOND, SPOT)
    simulations.clear("one", None)
    assert set(simulations.listed(NOW)) == {"two"}
    simulations.clear(None, "rebalance")
    assert simulations
    simulations.clear(None, "spot-interruption")
    assert not simulations


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from([*EACH, Cleared(), Cleared(kind="fault")])), max_size=12))
def test_asking_in_between_changes_nothing(entries: list[tuple[int, object]]) -> None:
    """What holds at a moment does not depend on who asked before."""
    asked, unasked = Timeline(), Timeline()
    for after, event in entries:
        asked.add(NOW + after * SECOND, event)
        unasked.add(NOW + after * SECOND, event)
    for after in range(20):
        asked.at(NOW + after * SECOND)
    late = NOW + 20 * SECOND
    assert asked.at(late) == unasked.at(late) == _slowly(entries, late)


def _slowly(entries: list[tuple[int, object]], now: datetime) -> Simulated:
    """Return the same, told once more from the beginning."""
    told = NOTHING
    for _, event in sorted(entries, key=lambda entry: entry[0]):
        told = told.after(event)
    return replace(told, fault=tuple(fault for fault in told.fault if fault.until > now))
