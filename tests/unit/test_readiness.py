"""A role is ready when its session lives and is not overdue, whatever the clocks did meanwhile."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.fakes import FakeClock, credentials

from imds.core.errors import Action, CredentialsError
from imds.core.readiness import OVERDUE, Unready, unready
from imds.core.skew import Skew
from imds.core.store import Store

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def store(clock: FakeClock) -> Store:
    """A store with one role that has not been tried."""
    made = Store(clock=clock, skew=Skew(clock=clock))
    made.add("app")
    return made


def renewed(store: Store, clock: FakeClock, due: timedelta = 30 * MINUTE) -> None:
    """Give the role a session of an hour that is to be renewed later."""
    store.put("app", credentials(now=clock.now()))
    store.expect("app", clock.now() + due)


def failed(store: Store, clock: FakeClock, action: Action = Action.RETRY) -> None:
    """Let a refresh fail; the next comes in a minute."""
    store.fail("app", CredentialsError("Code", "words", action=action))
    store.expect("app", clock.now() + MINUTE)


def why(store: Store) -> Unready | None:
    """Return why the role is not ready."""
    return unready(store.state("app"), store)


def test_before_the_first_attempt_and_without_a_state(store: Store) -> None:
    """Nothing is known yet."""
    assert why(store) is Unready.STARTING
    assert unready(store.state("other"), store) is Unready.STARTING


@pytest.mark.parametrize("action", Action)
def test_without_a_session(store: Store, clock: FakeClock, action: Action) -> None:
    """Where a person has to act, that is what it waits for."""
    failed(store, clock, action)
    assert why(store) is (Unready.WAITING if action is Action.REAUTHENTICATE else Unready.UNAVAILABLE)


async def test_a_refresh_has_some_time(store: Store, clock: FakeClock) -> None:
    """While a refresh that is due is made, the role is ready; when it is still not there, it is overdue."""
    renewed(store, clock)
    assert why(store) is None
    await clock.advance(30 * MINUTE + OVERDUE)
    assert why(store) is None
    await clock.advance(SECOND)
    assert why(store) is Unready.OVERDUE
    renewed(store, clock)
    assert why(store) is None


async def test_a_failed_refresh_changes_nothing_about_when_it_was_due(store: Store, clock: FakeClock) -> None:
    """However soon the next attempt is, the session should have been renewed by now."""
    renewed(store, clock)
    await clock.advance(30 * MINUTE)
    failed(store, clock)
    assert why(store) is None
    await clock.advance(MINUTE)
    failed(store, clock)
    assert why(store) is Unready.OVERDUE


@pytest.mark.parametrize(
    ("asleep", "reason"),
    [(20 * MINUTE, None), (31 * MINUTE, Unready.OVERDUE), (9 * HOUR, Unready.EXPIRED)],
)
async def test_a_wake(store: Store, clock: FakeClock, asleep: timedelta, reason: Unready | None) -> None:
    """The clocks decide, before anybody has noticed the wake."""
    renewed(store, clock)
    await clock.advance(asleep)
    assert why(store) is reason


async def test_a_wall_clock_set_back_makes_nothing_fresh(store: Store, clock: FakeClock) -> None:
    """By the time really elapsed it is overdue, whatever the wall clock says."""
    renewed(store, clock)
    await clock.advance(31 * MINUTE)
    await clock.step(-HOUR)
    assert why(store) is Unready.OVERDUE


async def test_a_wall_clock_set_forward(store: Store, clock: FakeClock) -> None:
    """By the wall clock it is overdue, until it is renewed by the new time."""
    renewed(store, clock)
    await clock.step(31 * MINUTE)
    assert why(store) is Unready.OVERDUE
    renewed(store, clock)
    assert why(store) is None
