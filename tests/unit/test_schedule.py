"""When sessions are renewed and failures retried, for every lifetime."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import START, credentials

from imds.core.errors import Action
from imds.core.schedule import BACK_OFF, LEAD, SOONEST, next_refresh, next_retry

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
randoms = st.integers(0, 2**32).map(Random)


def left_at_renewal(lifetime: timedelta, random: Random) -> timedelta:
    """Return how long a session still lives when its renewal is due."""
    return lifetime - (next_refresh(credentials(lifetime=lifetime), START, random) - START)


@given(randoms)
def test_one_hour_sessions_are_renewed_at_half_time(random: Random) -> None:
    """A session of one hour is renewed with 30 to 33 minutes left."""
    assert 30 * MINUTE <= left_at_renewal(HOUR, random) <= 33 * MINUTE


@given(st.integers(50 * 60, 43200), randoms)
def test_a_document_has_25_minutes_left_whenever_the_session_allows(seconds: int, random: Random) -> None:
    """From 50 minutes up, a renewal in time leaves clients never less than 25 minutes."""
    assert left_at_renewal(seconds * SECOND, random) >= 25 * MINUTE


@given(st.integers(7200, 43200), randoms)
def test_long_sessions_keep_an_hour(seconds: int, random: Random) -> None:
    """From two hours up, an hour is left, and at most a twentieth of the lifetime more."""
    lifetime = seconds * SECOND
    assert LEAD <= left_at_renewal(lifetime, random) <= LEAD + lifetime * 0.05


@given(st.integers(900, 7200), randoms)
def test_short_sessions_live_half_of_their_time(seconds: int, random: Random) -> None:
    """Up to two hours, a session is used for 45 to 50 percent of its lifetime: no storm, no neglect."""
    lifetime = seconds * SECOND
    assert lifetime * 0.5 <= left_at_renewal(lifetime, random) <= lifetime * 0.55 + SECOND


@given(st.integers(-100_000, 100_000), randoms)
def test_no_session_however_short_is_renewed_in_a_hot_loop(seconds: int, random: Random) -> None:
    """Fifteen seconds pass at least, even when what came is nearly or long over."""
    due = next_refresh(credentials(lifetime=seconds * SECOND), START, random)
    assert due >= START + SOONEST


@given(st.sampled_from(Action), st.integers(1, 10_000), randoms)
def test_back_off_stays_within_its_bounds(action: Action, failures: int, random: Random) -> None:
    """Every wait lies between the first and the longest of its action, after ten thousand failures too."""
    first, longest = BACK_OFF[action]
    wait = (next_retry(action, failures, START, random) - START).total_seconds()
    assert first <= wait <= longest


@given(st.integers(1, 5), randoms)
def test_the_ceiling_doubles(failures: int, random: Random) -> None:
    """A fault that passes is retried within 2, 4, 8, 16, 32 seconds."""
    assert SECOND <= next_retry(Action.RETRY, failures, START, random) - START <= 2**failures * SECOND


def test_back_off_has_full_jitter() -> None:
    """A thousand roles that failed together do not come back together."""
    random = Random(1)
    waits = [(next_retry(Action.RETRY, 6, START, random) - START).total_seconds() for _ in range(1000)]
    assert min(waits) < 5
    assert max(waits) > 55


@pytest.mark.parametrize("action", Action)
def test_every_action_has_a_back_off(action: Action) -> None:
    """No failure is without a wait, and none waits longer than a quarter of an hour."""
    first, longest = BACK_OFF[action]
    assert 1 <= first <= longest <= 900
