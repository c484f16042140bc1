"""How long things take, counted by how long: what Prometheus and OpenTelemetry call a histogram."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Histogram:
    """Counts of durations.

    Args:
        bounds: upper ends of the classes in seconds, each included, in order; what is longer is counted in a last one.

    Attributes:
        total: the sum of all durations, in seconds.
    """

    __slots__ = ("_counts", "bounds", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Yield each bound, infinity at the end, with how many durations did not exceed it."""
        count = 0
        for bound, here in zip((*self.bounds, float("inf")), self._counts, strict=True):
            count += here
            yield bound, count
