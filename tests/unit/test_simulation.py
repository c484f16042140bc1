"""Timelines of simulated events: what holds when, what ends, and what is forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imds.core.callers import Caller
from imds.core.simulation import (
    NOTHING,
    Cleared,
    Fault,
    LifecycleState,
    Maintenance,
    Rebalance,
    RoleChange,
    Simulated,
    Simulations,
    SpotInterruption,
    TagChange,
    Timeline,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
EVENTS = {
    "spot": SpotInterruption(action="stop", time=NOW),
    "rebalance": Rebalance(notice_time=NOW),
    "maintenance": Maintenance(event_id="e", code="c", state="active", description="d", not_before=NOW),
    "lifecycle": LifecycleState(state="Standby"),
    "role": RoleChange(role=None),
    "tags": TagChange(tags=(("a", "b"),)),
    "faults": Fault(kind="reset", until=NOW + 9 * SECOND),
}


def caller(uid: int) -> Caller:
    """Return a caller of a user."""
    return Caller(address="127.0.0.1", listener="", uid=uid)


def test_an_event_holds_from_its_moment_on() -> None:
    """Before it there is nothing of it; afterwards it stays."""
    timeline = Timeline()
    timeline.add(NOW + SECOND, EVENTS["rebalance"])
    assert timeline.at(NOW) is NOTHING
    assert timeline.coming == ((NOW + SECOND, EVENTS["rebalance"]),)
    assert timeline.at(NOW + SECOND).rebalance == EVENTS["rebalance"]
    assert timeline.at(NOW + timedelta(days=9)).rebalance == EVENTS["rebalance"]
    assert timeline.coming == ()


def test_what_holds_is_the_same_object_until_something_changes() -> None:
    """Who keeps what it made of it need not make it again."""
    timeline = Timeline()
    timeline.add(NOW, EVENTS["spot"])
    assert timeline.at(NOW) is timeline.at(NOW + SECOND)


@pytest.mark.parametrize("kind", EVENTS)
def test_clearing_a_kind_leaves_the_others(kind: str) -> None:
    """What holds and what is to come of one kind is forgotten, and nothing else."""
    timeline = Timeline()
    for event in EVENTS.values():
        timeline.add(NOW, event)
        timeline.add(NOW + 3 * SECOND, event)
    before = timeline.at(NOW)
    timeline.clear(type(EVENTS[kind]))
    after = timeline.at(NOW)
    assert getattr(after, kind) == getattr(NOTHING, kind) != getattr(before, kind)
    assert all(getattr(after, other) == getattr(before, other) for other in EVENTS if other != kind)
    assert EVENTS[kind] not in [event for _, event in timeline.coming]
    assert len(timeline.coming) == len(EVENTS) - 1


def test_a_timeline_may_clear_itself() -> None:
    """A script can end what it began: one kind, and then everything."""
    timeline = Timeline()
    for event in EVENTS.values():
        timeline.add(NOW, event)
    timeline.add(NOW + SECOND, Cleared(kind=SpotInterruption))
    timeline.add(NOW + 2 * SECOND, Cleared())
    assert timeline.at(NOW + SECOND).spot is None
    assert timeline.at(NOW + SECOND).rebalance is not None
    assert timeline.at(NOW + 2 * SECOND) == NOTHING


def test_a_maintenance_event_replaces_the_one_with_its_id() -> None:
    """A state changes in place; another id is another event."""
    done = Maintenance(event_id="e", code="c", state="completed", description="d", not_before=NOW)
    other = Maintenance(event_id="f", code="c", state="active", description="d", not_before=NOW)
    told = NOTHING.told(EVENTS["maintenance"]).told(other).told(done)
    assert told.maintenance == (other, done)


def test_tags_add_up() -> None:
    """The last word on a key holds; a key that nobody names stays."""
    told = NOTHING.told(TagChange(tags=(("a", "1"), ("b", "2")))).told(TagChange(tags=(("a", None), ("c", "3"))))
    assert told.tags == {"a": None, "b": "2", "c": "3"}


def test_a_fault_ends_by_itself() -> None:
    """At its end nothing goes wrong any more, whether anybody asked meanwhile or not."""
    simulations = Simulations()
    simulations.timeline("default").add(NOW, EVENTS["faults"])
    assert simulations.faults("default", caller(1), NOW + 8 * SECOND) == (EVENTS["faults"],)
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
    simulations.timeline("one").add(NOW, EVENTS["spot"])
    simulations.timeline("two").add(NOW + SECOND, EVENTS["spot"])
    simulations.clear("one", None)
    assert set(simulations.told(NOW)) == {"two"}
    simulations.clear(None, Rebalance)
    assert simulations
    simulations.clear(None, SpotInterruption)
    assert not simulations


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.sampled_from([*EVENTS.values(), Cleared(), Cleared(kind=Fault)])), max_size=12
    )
)
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
        told = told.told(event)
    return Simulated(
        spot=told.spot,
        rebalance=told.rebalance,
        maintenance=told.maintenance,
        lifecycle=told.lifecycle,
        role=told.role,
        tags=told.tags,
        faults=tuple(fault for fault in told.faults if fault.until > now),
    )
