"""How many sessions a second AWS is asked for: a thousand roles that start together must not be throttled."""

from __future__ import annotations

CALLS_PER_SECOND = 50.0
"""Far below STS's own limit for one account and region (600 calls), which others share."""

BURST = 20


class Budget:
    """Spaces calls out; the first ``BURST`` pass at once. Arithmetic only.

    Attributes:
        made: how many there have been.
    """

    def __init__(self, *, calls_per_second: float = CALLS_PER_SECOND) -> None:
        self._gap = 1 / calls_per_second
        self._next = 0.0
        self.made = 0

    def take(self, now: float) -> float:
        """Take a place and return how many seconds it is away.

        Args:
            now: any steady clock, in seconds.
        """
        self.made += 1
        self._next = max(self._next, now - BURST * self._gap) + self._gap
        return max(0.0, self._next - now)
