"""A caller may do much, but not everything."""

from __future__ import annotations

from imds.core.limits import BURST, MOST_CALLERS, RateLimit


def test_a_herd_passes_and_a_loop_does_not() -> None:
    """A burst passes at once, then so many a second; another caller is not touched by it."""
    limit = RateLimit(100)
    assert sum(limit.allows(1000, 5.0) for _ in range(5000)) == 100 * BURST
    assert limit.allows(1001, 5.0)
    assert sum(limit.allows(1000, 6.0) for _ in range(5000)) == 100
    assert sum(limit.allows(1000, 6.0 + BURST) for _ in range(5000)) == 100 * BURST


def test_a_flood_is_not_kept_out_for_good() -> None:
    """Whoever goes on asking too much still has what the limit allows."""
    limit = RateLimit(1000)
    passed = [sum(limit.allows(1000, second + number / 1500) for number in range(1500)) for second in range(100)]
    assert all(998 <= one <= 1002 for one in passed[40:])


def test_no_limit() -> None:
    """Without one everything passes."""
    limit = RateLimit(None)
    assert all(limit.allows("10.0.0.7", 0.0) for _ in range(100_000))


def test_many_callers_do_not_fill_the_memory_nor_win_by_it() -> None:
    """Addresses without end are forgotten, but a caller that goes on is not let through anew by them."""
    limit = RateLimit(10)
    for _ in range(10 * BURST):
        assert limit.allows("loop", 1.0)
    passed = 0
    for number in range(MOST_CALLERS * 3):
        limit.allows(f"10.0.{number >> 8}.{number & 255}", 1.0 + number * 1e-6)
        passed += limit.allows("loop", 1.0 + number * 1e-6)
    assert passed <= 1
    assert len(limit._buckets) <= MOST_CALLERS
