"""Time as an argument: the clock that everything is given, and the one that looks at the machine.

asyncio's own timers run on ``CLOCK_MONOTONIC``, which stands still while a laptop is suspended. Deadlines here are
wall-clock moments, all sleepers share one timer that naps at most thirty seconds, and a wall clock that was stepped
wakes everyone.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

NAP = timedelta(seconds=30)
"""The longest time for which a suspend or a stepped clock can go unnoticed."""

STEP = timedelta(seconds=2)
"""A wall clock that moves this much against the time really elapsed was stepped (NTP slews far more gently)."""

WOKEN_AT_ONCE = 15
"""How many sleepers one turn of the event loop wakes, so that thousands that fall due do not stall a client."""


class Clock(Protocol):
    """Tells the time and waits for it."""

    def now(self) -> datetime:
        """Return the wall-clock time, aware, in UTC."""
        ...

    def elapsed(self) -> timedelta:
        """Return the time since some fixed start: it counts suspend and cannot be stepped."""
        ...

    async def sleep_until(self, deadline: datetime) -> None:
        """Return at the wall-clock ``deadline``, or earlier when the wall clock was stepped."""
        ...


class SystemClock:
    """The machine's clocks; one timer for all sleepers."""

    def __init__(self) -> None:
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._cancelled = 0
        self._timer: asyncio.TimerHandle | None = None
        self._offset = self._measure_offset()

    def now(self) -> datetime:
        """Return the wall-clock time, aware, in UTC."""
        return datetime.now(UTC)

    def elapsed(self) -> timedelta:
        """Return the time since boot, suspend included (Linux); elsewhere the monotonic clock."""
        clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        return timedelta(seconds=time.clock_gettime(clock))

    async def sleep_until(self, deadline: datetime) -> None:
        """Return at the wall-clock ``deadline``, or earlier when the wall clock was stepped."""
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (deadline, next(self._order), woken))
        self._arm()
        try:
            await woken
        except asyncio.CancelledError:
            self._forget_cancelled()
            raise

    def _forget_cancelled(self) -> None:
        """Take the places of cancelled sleepers out of the heap once they are the half: some would stay for ever."""
        self._cancelled += 1
        if self._cancelled * 2 > len(self._sleepers):
            self._cancelled = 0
            self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[2].done()]
            heapq.heapify(self._sleepers)

    def notice(self) -> None:
        """Look at the clocks now; called for every client, so that the first one after a suspend starts the refresh."""
        if abs(self._measure_offset() - self._offset) > STEP or (self._sleepers and self._sleepers[0][0] <= self.now()):
            self._wake_due()

    def _measure_offset(self) -> timedelta:
        return timedelta(seconds=self.now().timestamp()) - self.elapsed()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        wait = min(NAP, max(timedelta(0), self._sleepers[0][0] - self.now()))
        self._timer = asyncio.get_running_loop().call_later(wait.total_seconds(), self._wake_due)

    def _wake_due(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        offset, now = self._measure_offset(), self.now()
        stepped = abs(offset - self._offset) > STEP
        self._offset = offset
        woken = 0
        while self._sleepers and woken < WOKEN_AT_ONCE and (stepped or self._sleepers[0][0] <= now):
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():  # a cancelled sleeper leaves its place in the heap
                future.set_result(None)
                woken += 1
        if self._sleepers:
            if stepped:  # the rest of them at the next turn: their deadlines belong to the old time
                self._sleepers = [(now, order, future) for _, order, future in self._sleepers]
            self._arm()
