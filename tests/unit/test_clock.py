"""The machine's clock: naps, steps, many sleepers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from freezegun import freeze_time
from support.fakes import START, settle

from imds.core.clock import NAP, WOKEN_AT_ONCE, SystemClock

HOUR = timedelta(hours=1)


class Machine(SystemClock):
    """The system clock on a machine whose two clocks the test sets."""

    def __init__(self) -> None:
        self.wall = START
        self.boot = timedelta(days=3)
        super().__init__()

    def now(self) -> datetime:
        """Return what the test set."""
        return self.wall

    def elapsed(self) -> timedelta:
        """Return what the test set."""
        return self.boot

    def passes(self, span: timedelta) -> None:
        """Let time pass, asleep or awake."""
        self.wall += span
        self.boot += span

    def nap(self) -> timedelta:
        """Return how long the timer is set for."""
        assert self._timer is not None
        return timedelta(seconds=self._timer.when() - asyncio.get_running_loop().time())


async def sleepers(clock: SystemClock, *deadlines: datetime) -> list[asyncio.Task[None]]:
    """Return tasks that sleep until these moments."""
    tasks = [asyncio.create_task(clock.sleep_until(deadline)) for deadline in deadlines]
    await asyncio.sleep(0)
    return tasks


async def end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel what still sleeps."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_has_given_up_leaves_nothing() -> None:
    """A thousand that slept for ever and were cancelled take no room, and the others wake at their time."""
    clock = Machine()
    kept = await sleepers(clock, START + HOUR)
    for _ in range(1000):
        await end(await sleepers(clock, datetime(9000, 1, 1, tzinfo=UTC)))
    assert len(clock._sleepers) < 5
    clock.passes(HOUR)
    clock.notice()
    await asyncio.wait_for(kept[0], 1)


async def test_no_timer_is_longer_than_a_nap() -> None:
    """Whoever sleeps for hours, the clocks are looked at every thirty seconds."""
    clock = Machine()
    tasks = await sleepers(clock, START + 9 * HOUR)
    assert NAP - timedelta(seconds=5) < clock.nap() <= NAP
    clock.passes(NAP)
    clock._wake_due()
    assert NAP - timedelta(seconds=5) < clock.nap() <= NAP
    await settle()
    assert not tasks[0].done()
    await end(tasks)


async def test_the_timer_is_set_for_the_first_deadline() -> None:
    """A deadline nearer than a nap is met, whoever came first."""
    clock = Machine()
    tasks = await sleepers(clock, START + HOUR, START + timedelta(seconds=10), START + 2 * HOUR)
    assert clock.nap() <= timedelta(seconds=10)
    await end(tasks)


async def test_only_who_is_due_wakes_up() -> None:
    """A deadline that has come wakes its sleeper and no other."""
    clock = Machine()
    due, later = await sleepers(clock, START + timedelta(seconds=10), START + HOUR)
    clock.passes(timedelta(seconds=10))
    clock._wake_due()
    await settle()
    assert (due.done(), later.done()) == (True, False)
    await end([later])


async def test_a_deadline_in_the_past_is_over_at_once() -> None:
    """Sleeping until a moment gone by returns at the next turn, by the real timer."""
    await asyncio.wait_for(SystemClock().sleep_until(datetime.now(UTC) - HOUR), 10)


async def test_a_stepped_clock_wakes_everyone() -> None:
    """A wall clock set an hour forward or back wakes all sleepers, due or not."""
    for step in (HOUR, -HOUR):
        clock = Machine()
        tasks = await sleepers(clock, START + 5 * HOUR, START + 9 * HOUR)
        clock.wall += step
        clock.notice()
        await settle()
        assert all(task.done() for task in tasks)


async def test_a_slewed_clock_wakes_nobody() -> None:
    """What NTP corrects within two seconds is no step."""
    clock = Machine()
    tasks = await sleepers(clock, START + HOUR)
    clock.wall += timedelta(seconds=1)
    clock.notice()
    clock._wake_due()
    await settle()
    assert not tasks[0].done()
    await end(tasks)


async def test_after_a_suspend_the_first_look_wakes_who_is_due() -> None:
    """Nine hours of suspend are noticed by ``notice()``, without the timer."""
    clock = Machine()
    due, later = await sleepers(clock, START + HOUR, START + 10 * HOUR)
    clock.passes(9 * HOUR)
    clock.notice()
    await settle()
    assert (due.done(), later.done()) == (True, False)
    await end([later])


async def test_notice_does_nothing_while_nothing_is_due() -> None:
    """A client's request touches neither sleepers nor the timer."""
    clock = Machine()
    clock.notice()
    tasks = await sleepers(clock, START + HOUR)
    timer = clock._timer
    clock.notice()
    await settle()
    assert clock._timer is timer
    assert not tasks[0].done()
    await end(tasks)


async def test_thousands_due_at_once_wake_in_turns() -> None:
    """One turn wakes a hundred at most, the next turns the others, after a step too."""
    for step in (timedelta(0), -2 * HOUR):
        clock = Machine()
        tasks = await sleepers(clock, *[START + HOUR] * (2 * WOKEN_AT_ONCE + 1))
        clock.passes(HOUR)
        clock.wall += step
        clock._wake_due()
        await asyncio.sleep(0)
        assert sum(task.done() for task in tasks) == WOKEN_AT_ONCE
        await asyncio.wait_for(asyncio.gather(*tasks), 10)


async def test_the_cancelled_are_not_counted() -> None:
    """Cancelled sleepers neither wake nor hold back those behind them."""
    clock = Machine()
    tasks = await sleepers(clock, *[START + timedelta(seconds=1)] * (2 * WOKEN_AT_ONCE), START + timedelta(seconds=2))
    await end(tasks[:-1])
    clock.passes(timedelta(seconds=2))
    clock._wake_due()
    await settle()
    assert tasks[-1].done()


async def test_a_frozen_wall_clock_that_jumps_is_a_step() -> None:
    """The real clocks see it when the wall clock alone moves."""
    with freeze_time(START, real_asyncio=True) as frozen:
        clock = SystemClock()
        assert clock.now() == START
        tasks = await sleepers(clock, START + 9 * HOUR)
        frozen.move_to(START + HOUR)
        clock.notice()
        await settle()
        assert tasks[0].done()
