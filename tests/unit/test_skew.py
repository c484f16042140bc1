"""AWS's clock, as far as it is known."""

from __future__ import annotations

from datetime import timedelta

import pytest

from imds.core.skew import Skew

MINUTE = timedelta(minutes=1)


def test_nothing_is_known_before_the_first_answer(clock):
    """Without an answer our clock counts."""
    skew = Skew(clock=clock)
    assert skew.measured is None
    assert (skew.noticed, skew.now()) == (timedelta(), clock.now())


@pytest.mark.parametrize("seconds", [-60, -1, 0, 1, 60])
def test_seconds_are_no_skew(clock, seconds):
    """What an answer's way takes is measured, but changes nothing."""
    skew = Skew(clock=clock)
    skew.observe(clock.now() + timedelta(seconds=seconds))
    assert skew.measured == timedelta(seconds=seconds)
    assert skew.now() == clock.now()


@pytest.mark.parametrize("off", [61 * MINUTE, -61 * MINUTE, timedelta(seconds=61)])
def test_aws_time_counts_where_ours_is_off(clock, off):
    """A real difference is reckoned with."""
    skew = Skew(clock=clock)
    skew.observe(clock.now() + off)
    assert (skew.noticed, skew.now()) == (off, clock.now() + off)


async def test_a_clock_set_right_agrees_with_the_next_answer(clock):
    """The difference is gone at once; until AWS answers, the later of both times counts."""
    skew = Skew(clock=clock)
    skew.observe(clock.now() + 61 * MINUTE)
    await clock.step(61 * MINUTE)
    assert skew.measured == timedelta()
    assert skew.now() == clock.now() + 61 * MINUTE
    skew.observe(clock.now())
    assert skew.now() == clock.now()


async def test_a_machine_resumed_from_a_snapshot(clock):
    """Its wall clock is set forward though no time went by: what has expired meanwhile is known to have."""
    skew = Skew(clock=clock)
    skew.observe(clock.now())
    await clock.step(61 * MINUTE)
    assert skew.now() == clock.now()


async def test_a_clock_set_back_revives_nothing(clock):
    """AWS's time goes on whatever is done to ours."""
    skew = Skew(clock=clock)
    skew.observe(clock.now())
    aws = clock.now()
    await clock.step(-61 * MINUTE)
    assert skew.now() == aws
    await clock.advance(30 * MINUTE)
    assert skew.now() == aws + 30 * MINUTE
