"""How many requests one caller may make: enough for a herd of five hundred programs, too few to keep others out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

BURST = 10
"""Seconds' worth of requests that may come at once."""

MOST_CALLERS = 4096


class RateLimit:
    """Token buckets, one for each user of this host and each address elsewhere, in each instance.

    Args:
        per_second: requests; None is no limit.
        burst: seconds' worth of requests that may come at once.
    """

    def __init__(self, per_second: int | None, *, burst: int = BURST) -> None:
        self._per_second = per_second
        self._burst = burst
        self._buckets: dict[Hashable, tuple[float, float]] = {}

    def allows(self, caller: Hashable, now: float) -> bool:
        """Count a request of ``caller`` at ``now`` (seconds of a steady clock); return whether it may pass."""
        if self._per_second is None:
            return True
        most = float(self._per_second * self._burst)
        left, at = self._buckets.get(caller, (most, now))
        left = min(most, left + (now - at) * self._per_second)
        if len(self._buckets) >= MOST_CALLERS and caller not in self._buckets:
            self._forget_idle(now)
        passes = left >= 1
        self._buckets[caller] = left - passes, now  # whoever is turned away has paid nothing
        return passes

    def _forget_idle(self, now: float) -> None:
        """Forget callers that have been silent long enough to have all their requests again, or the older half."""
        self._buckets = {caller: held for caller, held in self._buckets.items() if now - held[1] < self._burst}
        if len(self._buckets) >= MOST_CALLERS:
            recent = sorted(self._buckets.items(), key=lambda entry: entry[1][1])[MOST_CALLERS // 2 :]
            self._buckets = dict(recent)
