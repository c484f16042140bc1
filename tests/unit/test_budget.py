"""STS is asked no faster than the budget says."""

from __future__ import annotations

import pytest

from imds.aws.budget import BURST, Budget


def test_a_burst_passes_at_once_and_the_rest_is_spaced_out():
    """The first calls wait for nobody, each further one for its place."""
    budget = Budget(calls_per_second=10)
    waits = [budget.take(1000.0) for _ in range(BURST + 30)]
    assert waits[:BURST] == pytest.approx([0.0] * BURST, abs=1e-6)
    assert waits[BURST:] == pytest.approx([0.1 * number for number in range(1, 31)])
    assert budget.made == BURST + 30


def test_a_pause_earns_a_burst_and_no_more():
    """However long nobody asked, no more than a burst passes at once."""
    budget = Budget(calls_per_second=10)
    for _ in range(BURST * 2):
        budget.take(1000.0)
    waits = [budget.take(100_000.0) for _ in range(BURST + 1)]
    assert waits[:BURST] == pytest.approx([0.0] * BURST, abs=1e-6)
    assert waits[BURST] == pytest.approx(0.1)


def test_a_second_holds_what_the_budget_says():
    """Whoever waits for his place keeps the rate."""
    budget = Budget(calls_per_second=50)
    places = [1000.0 + budget.take(1000.0) for _ in range(500)]
    for start in range(1000, 1009):
        assert sum(start + 1 <= place < start + 2 for place in places) <= 51
