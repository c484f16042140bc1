"""When a person is asked for an MFA code."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from imds.core.asking import Asking, ask_at

BERLIN = ZoneInfo("Europe/Berlin")
HALF_PAST_EIGHT = Asking(at=time(8, 30))


def berlin(text: str) -> datetime:
    """Return a moment by a clock in Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC)


def asked(began: str, hours: float, asking: Asking) -> str:
    """Return when it is asked for, by that clock."""
    start = berlin(began)
    return f"{ask_at(start, start + timedelta(hours=hours), asking, zone=BERLIN).astimezone(BERLIN):%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("began", "hours", "asking", "expected"),
    [
        ("2030-01-01 09:00", 12, Asking(), "2030-01-01 20:30"),
        ("2030-01-01 09:00", 12, Asking(lead=timedelta(hours=2)), "2030-01-01 19:00"),
        # a short session, and a long lead: never before half of it
        ("2030-01-01 09:00", 0.25, Asking(), "2030-01-01 09:07"),
        ("2030-01-01 09:00", 12, Asking(lead=timedelta(hours=18)), "2030-01-01 15:00"),
        # the last such hour before the end
        ("2030-01-01 08:40", 36, HALF_PAST_EIGHT, "2030-01-02 08:30"),
        ("2030-01-01 03:00", 12, HALF_PAST_EIGHT, "2030-01-01 08:30"),
        ("2030-01-01 20:00", 12.6, HALF_PAST_EIGHT, "2030-01-02 08:30"),
        # just after it began, after its end, or in its last minutes: by the lead
        ("2030-01-01 08:25", 12, HALF_PAST_EIGHT, "2030-01-01 19:55"),
        ("2030-01-01 08:40", 12, HALF_PAST_EIGHT, "2030-01-01 20:10"),
        ("2030-01-01 20:33", 12, HALF_PAST_EIGHT, "2030-01-02 08:03"),
        # the clocks go forward in the night before, and back
        ("2030-03-30 09:00", 36, HALF_PAST_EIGHT, "2030-03-31 08:30"),
        ("2030-10-26 09:00", 36, HALF_PAST_EIGHT, "2030-10-27 08:30"),
    ],
)
def test_when(began: str, hours: float, asking: Asking, expected: str) -> None:
    """It is the preferred hour where that lies well within the session, else the lead before its end."""
    assert asked(began, hours, asking) == expected
