"""Times as AWS writes them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imds.core.timestamps import parse_timestamp, timestamp


def test_times_have_no_fraction() -> None:
    """Whatever the microseconds, a time ends in seconds and Z; a year has four digits."""
    assert timestamp(datetime(2030, 1, 1, 12, 0, 0, 999_999, tzinfo=UTC)) == "2030-01-01T12:00:00Z"
    assert timestamp(datetime(1, 2, 3, tzinfo=UTC)) == "0001-02-03T00:00:00Z"


@given(st.datetimes(timezones=st.just(UTC)))
def test_what_is_written_is_read(moment: datetime) -> None:
    """The same moment, but for the fraction."""
    assert parse_timestamp(timestamp(moment)) == moment.replace(microsecond=0)


@pytest.mark.parametrize(
    "text",
    [
        *("", "2030-01-01", "2030-01-01T12:00:00", "2030-01-01T12:00:00+00:00", "2030-01-01T12:00:00.5Z"),
        *("2030-13-01T12:00:00Z", "2030-01-01T25:00:00Z", "0000-01-01T00:00:00Z", "2030-1-1T1:1:1Z"),
        *("2030-01-01T12:00:00Z\n", "\uff12030-01-01T12:00:00Z"),
    ],
)
def test_what_is_no_time(text: str) -> None:
    """Another spelling is none, nor is a day that there is not."""
    with pytest.raises(ValueError, match=r"is not a time|must be in|out of range"):
        parse_timestamp(text)
