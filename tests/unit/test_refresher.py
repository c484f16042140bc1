"""One writer per role, whatever goes wrong."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.fakes import START, FakeClock, ScriptedIssuer, credentials, settle

from imds.core.errors import Action, CredentialsError, RequestError
from imds.core.refresher import keep_fresh
from imds.core.schedule import next_refresh
from imds.core.skew import Skew
from imds.core.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imds.core.credentials import Credentials

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@contextmanager
def kept_fresh(clock: FakeClock, **issuers: ScriptedIssuer) -> Iterator[Store]:
    """Keep these roles fresh meanwhile."""
    store = Store(clock=clock, skew=Skew(clock=clock))
    tasks = []
    for role, issuer in issuers.items():
        store.add(role)
        random = Random(1)
        work = keep_fresh(
            role, issuer=issuer, store=store, clock=clock, skew=Skew(clock=clock), schedule=next_refresh, random=random
        )
        tasks.append(asyncio.create_task(work))
    try:
        yield store
        assert not any(task.done() for task in tasks), "a role's task ended"
    finally:
        for task in tasks:
            task.cancel()


def fresh(now: datetime) -> Credentials:
    """Issue an hour."""
    return credentials(now=now)


def failure(action: Action = Action.RETRY, again_after: timedelta | None = None) -> CredentialsError:
    """Return a failure."""
    return CredentialsError("Code", "words", action=action, again_after=again_after)


async def test_a_session_is_renewed_before_clients_stretch_it(clock: FakeClock) -> None:
    """Over a day, what is served always has 30 minutes left, for some 50 calls."""
    issuer = ScriptedIssuer(fresh)
    with kept_fresh(clock, app=issuer) as store:
        await settle()
        for _ in range(24 * 60):
            await clock.advance(MINUTE)
            assert store.credentials("app").remaining(clock.now()) >= 29 * MINUTE
    assert 48 <= len(issuer.calls) <= 56


async def test_a_failed_refresh_keeps_the_old_credentials(clock: FakeClock) -> None:
    """While AWS is down the old ones are served to their end, then none, and new ones when it is back."""
    old = credentials()
    issuer = ScriptedIssuer(old, failure())
    with kept_fresh(clock, app=issuer) as store:
        await settle()
        for _ in range(59):
            await clock.advance(MINUTE)
            assert store.credentials("app") is old
        await clock.advance(MINUTE)
        with pytest.raises(RequestError):
            store.credentials("app")
        issuer.script = [fresh]
        await clock.advance(MINUTE)
        assert store.credentials("app").remaining(clock.now()) >= 59 * MINUTE


async def test_a_failing_role_touches_no_other(clock: FakeClock) -> None:
    """One role is denied for a day; the other is renewed as ever."""
    denied, issuer = ScriptedIssuer(failure(Action.DENIED)), ScriptedIssuer(fresh)
    with kept_fresh(clock, denied=denied, app=issuer) as store:
        await settle()
        for _ in range(24 * 12):
            await clock.advance(5 * MINUTE)
            assert store.credentials("app").remaining(clock.now()) >= 25 * MINUTE
            with pytest.raises(RequestError):
                store.credentials("denied")


async def test_an_unexpected_exception_is_that_roles_failure(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake of ours is logged with its traceback and retried; its text, which may hold anything, is not kept."""
    issuer = ScriptedIssuer(ZeroDivisionError("some detail"), fresh)
    with kept_fresh(clock, app=issuer) as store:
        await settle()
        state = store.state("app")
        assert state is not None
        assert state.failure is not None
        assert (state.failure.code, state.failure.message) == ("InternalFailure", "ZeroDivisionError")
        assert state.failure.action is Action.RETRY
        assert any(record.exc_info for record in caplog.records)
        await clock.advance(2 * SECOND)
        assert store.credentials("app")


async def test_after_nine_hours_of_suspend_one_call_mends_it(clock: FakeClock) -> None:
    """The first look after the suspend finds nothing expired served, and one call brings new credentials."""
    issuer = ScriptedIssuer(fresh)
    with kept_fresh(clock, app=issuer) as store:
        await settle()
        clock._now += 9 * HOUR
        clock._elapsed += 9 * HOUR
        with pytest.raises(RequestError):
            store.credentials("app")
        clock.notice()
        await settle()
        assert store.credentials("app").remaining(clock.now()) == HOUR
    assert len(issuer.calls) == 2


@pytest.mark.parametrize("step", [HOUR, -HOUR])
async def test_a_stepped_clock_means_a_new_session_at_once(clock: FakeClock, step: timedelta) -> None:
    """After a step the time of issue means nothing any more: one call, and the schedule is right again."""
    issuer = ScriptedIssuer(fresh)
    with kept_fresh(clock, app=issuer) as store:
        await settle()
        await clock.advance(MINUTE)
        await clock.step(step)
        assert store.credentials("app").remaining(clock.now()) == HOUR
        assert len(issuer.calls) == 2
        for _ in range(60):
            await clock.advance(MINUTE)
            assert store.credentials("app").remaining(clock.now()) >= 29 * MINUTE
    assert len(issuer.calls) <= 5


async def test_a_session_that_arrives_expired_is_a_wrong_clock(clock: FakeClock) -> None:
    """What has ended by this machine's clock is never served, and says which clock to look at."""
    issuer = ScriptedIssuer(lambda now: credentials(now=now - 2 * HOUR))
    with kept_fresh(clock, app=issuer) as store:
        await settle()
        state = store.state("app")
        assert state is not None
        assert state.failure is not None
        assert state.failure.action is Action.CLOCK
        assert "is the clock right?" in str(state.failure)
        with pytest.raises(RequestError):
            store.credentials("app")
        assert clock.sleeping_until == [START + MINUTE]


async def test_a_source_that_knows_better_is_asked_when_it_says(clock: FakeClock) -> None:
    """``again_after`` replaces the back-off."""
    with kept_fresh(clock, app=ScriptedIssuer(failure(again_after=7 * SECOND))) as store:
        await settle()
        assert clock.sleeping_until == [START + 7 * SECOND]
        state = store.state("app")
        assert state is not None
        assert state.next_attempt == START + 7 * SECOND


async def test_one_role_has_one_call_under_way(clock: FakeClock) -> None:
    """While STS takes its time nobody asks it again, however long and whatever the clock does."""
    answered = asyncio.Event()

    class Slow(ScriptedIssuer):
        async def issue(self, now: datetime) -> Credentials:
            given = await super().issue(now)
            await answered.wait()
            return given

    issuer = Slow(fresh)
    with kept_fresh(clock, app=issuer) as store:
        await settle()
        await clock.advance(20 * SECOND)
        await clock.step(5 * SECOND)
        assert len(issuer.calls) == 1
        answered.set()
        await settle()
        assert store.credentials("app")
        assert len(issuer.calls) == 1


async def test_a_failure_is_said_aloud_once(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """The first failure in a row is a warning, the next are not."""
    with kept_fresh(clock, app=ScriptedIssuer(failure())):
        await settle()
        for _ in range(5):
            await clock.advance(MINUTE)
    levels = [record.levelname for record in caplog.records if "Code: words" in record.getMessage()]
    assert levels == ["WARNING", *["INFO"] * 5]


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(1, 3 * 3600)),
        st.tuples(st.just("step"), st.integers(-5 * 3600, 5 * 3600)),
        st.tuples(st.just("lifetime"), st.sampled_from([1, 60, 900, 3600, 43200])),
        st.tuples(st.just("fails"), st.sampled_from([None, *Action])),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=150)
@given(EVENTS)
@example([("fails", Action.RETRY), ("pass", 7200), ("step", -7200)])  # dead by one clock, alive by the other
def test_nothing_expired_is_served_whatever_happens(events: list[tuple[str, object]]) -> None:
    """Outages, steps and odd lifetimes in any order: what is served is live by both clocks, and calls are few."""
    asyncio.run(live_through(events))


async def live_through(events: list[tuple[str, object]]) -> None:
    """Check the store after each event."""
    clock = FakeClock()
    issuer = ScriptedIssuer(fresh)
    issued_at: dict[str, timedelta] = {}
    world: dict[str, object] = {"lifetime": 3600, "fails": None}

    def answer(now: datetime) -> object:
        if world["fails"] is not None:
            return failure(world["fails"])
        given = credentials(now=now, lifetime=world["lifetime"] * SECOND)
        issued_at[given.access_key_id] = clock.elapsed()
        return given

    issuer.script = [answer]
    start = clock.elapsed()
    steps = 0
    with kept_fresh(clock, app=issuer) as store:
        await settle()
        for kind, value in events:
            if kind == "pass":
                await clock.advance(value * SECOND)
            elif kind == "step":
                await clock.step(value * SECOND)
                steps += 1
            else:
                world[kind] = value
            try:
                served = store.credentials("app")
            except RequestError:
                continue
            assert not served.expired(clock.now())
            assert clock.elapsed() - issued_at[served.access_key_id] < served.lifetime
    seconds = (clock.elapsed() - start).total_seconds()
    assert len(issuer.calls) <= 1 + steps + seconds  # never twice within a second
    assert len(issuer.calls) <= 1 + len(events)  # and an event wakes a role at most once


async def test_a_wait_is_told_once(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """A role that waits for a person looks every few seconds, and says so aloud only once."""
    waiting = CredentialsError(
        "NoToken", "none yet", action=Action.REAUTHENTICATE, again_after=5 * SECOND, waits_for="imds mfa {role}"
    )
    with kept_fresh(clock, app=ScriptedIssuer(waiting)):
        await settle()
        for _ in range(10):
            await clock.advance(5 * SECOND)
    told = [record for record in caplog.records if "NoToken" in record.getMessage()]
    assert [record.levelname for record in told] == ["WARNING"] + ["DEBUG"] * 10
    assert "waiting for imds mfa app" in told[0].getMessage()
