"""Durations as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imds.core.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("1h30m", 5400), ("90", 90), ("800ms", 0.8), ("1.5", 1.5), ("1m1.25s", 61.25)],
)
def test_what_is_a_duration(text: str, seconds: float) -> None:
    """Hours, minutes, seconds and milliseconds, in this order, or seconds alone."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "h", "1.5h", "-5", "1 h", "30s1m", "1d", "5M", "1.0001s", "1234567h", "1h ", "\u0665s"]
)
def test_what_is_none(text: str) -> None:
    """Anything else, and what is beyond any use."""
    assert parse_duration(text) is None


@given(st.integers(0, 10**12).map(lambda number: timedelta(milliseconds=number)))
def test_what_is_written_is_read(duration: timedelta) -> None:
    """The same duration comes back."""
    assert parse_duration(format_duration(duration)) == duration
