"""What is counted of refreshes is bounded, whatever a source calls its failures."""

from __future__ import annotations

from datetime import timedelta

import pytest

from imds.core.errors import Action, CredentialsError
from imds.core.histogram import Histogram
from imds.core.refreshes import MOST_CODES, OTHER_CODE, SUCCESS, Refreshes

TOOK = timedelta(seconds=0.2)


@pytest.fixture
def refreshes() -> Refreshes:
    """Counts of one role."""
    made = Refreshes()
    made.add("app")
    return made


def failure(code: str) -> CredentialsError:
    """Return a failure."""
    return CredentialsError(code, "words", action=Action.DENIED)


def test_each_outcome_is_counted(refreshes: Refreshes) -> None:
    """Successes begin at zero; failures are told apart by their code; those that asked nobody are left out."""
    assert refreshes.counts["app"] == {(SUCCESS, ""): 0}
    refreshes.note("app", None, TOOK)
    refreshes.note("app", failure("AccessDenied"), TOOK)
    refreshes.note("app", failure("AccessDenied"), None)
    assert refreshes.counts["app"] == {(SUCCESS, ""): 1, ("denied", "AccessDenied"): 1}
    assert [list(refreshes.took[success].cumulative())[-1][1] for success in (True, False)] == [1, 1]


@pytest.mark.parametrize("code", ["", "two words", "x" * 65, 'a"b', "é", "line\n"])
def test_what_is_no_code_is_not_kept(refreshes: Refreshes, code: str) -> None:
    """A program may call its failure anything; a label is none of it."""
    refreshes.note("app", failure(code), TOOK)
    assert ("denied", OTHER_CODE) in refreshes.counts["app"]


def test_codes_without_end(refreshes: Refreshes) -> None:
    """However many there are, a few are told apart, and none is lost from the sum."""
    for number in range(1000):
        refreshes.note("app", failure(f"Code{number}"), TOOK)
    assert len(refreshes.counts["app"]) <= MOST_CODES + 1
    assert sum(refreshes.counts["app"].values()) == 1000


def test_a_role_that_is_gone(refreshes: Refreshes) -> None:
    """Its counts go with it, and what ends afterwards brings them not back."""
    refreshes.remove("app")
    refreshes.note("app", None, TOOK)
    assert refreshes.counts == {}


def test_histogram() -> None:
    """Bounds are included; what exceeds the last is counted at infinity."""
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 3.0):
        histogram.observe(seconds)
    assert list(histogram.cumulative()) == [(0.1, 2), (1.0, 3), (float("inf"), 4)]
    assert histogram.total == pytest.approx(3.65)
