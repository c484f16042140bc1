"""How many calls a second STS is asked: a thousand roles that start together must not be throttled."""

from __future__ import annotations

import asyncio

CALLS_PER_SECOND = 50.0
"""Far below STS's own limit for one account and region (600), which others share."""

BURST = 20


class Budget:
    """Spaces calls out; the first ``BURST`` pass at once.

    Attributes:
        made: how many calls there have been.
    """

    def __init__(self, *, calls_per_second: float = CALLS_PER_SECOND) -> None:
        self._gap = 1 / calls_per_second
        self._next = 0.0
        self.made = 0

    async def turn(self) -> None:
        """Return when the next call may be made."""
        self.made += 1
        now = asyncio.get_running_loop().time()
        self._next = max(self._next, now - BURST * self._gap) + self._gap
        if self._next > now:
            await asyncio.sleep(self._next - now)
