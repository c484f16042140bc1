"""The stand-ins behave as what they stand for."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from support.fakes import KNOWN_SECRETS, START, FakeClock, ScriptedIssuer, credentials, settle

SECOND = timedelta(seconds=1)


async def test_the_clock_stands_still_until_it_is_moved(clock: FakeClock) -> None:
    """``advance`` moves both clocks and wakes who is due; ``step`` moves one and wakes everyone."""
    sleeper = asyncio.create_task(clock.sleep_until(START + 10 * SECOND))
    await settle()
    assert clock.sleeping_until == [START + 10 * SECOND]
    elapsed = clock.elapsed()
    await clock.advance(9 * SECOND)
    assert not sleeper.done()
    await clock.advance(SECOND)
    assert sleeper.done()
    assert (clock.now(), clock.elapsed()) == (START + 10 * SECOND, elapsed + 10 * SECOND)
    other = asyncio.create_task(clock.sleep_until(START + 99 * SECOND))
    await settle()
    await clock.step(-SECOND)
    assert other.done()
    assert (clock.now(), clock.elapsed()) == (START + 9 * SECOND, elapsed + 10 * SECOND)


async def test_a_cancelled_sleeper_is_gone(clock: FakeClock) -> None:
    """Who was cancelled is not waited for any more."""
    sleeper = asyncio.create_task(clock.sleep_until(START + SECOND))
    await settle()
    sleeper.cancel()
    await settle()
    assert clock.sleeping_until == []
    await clock.advance(SECOND)


async def test_the_issuer_follows_its_script() -> None:
    """Entries are given, called or raised in order, the last one for ever."""
    made = credentials()
    issuer = ScriptedIssuer(made, ValueError("x"), lambda now: credentials(now=now))
    assert await issuer.issue(START) is made
    with pytest.raises(ValueError, match="x"):
        await issuer.issue(START)
    for moment in (START, START + SECOND):
        assert (await issuer.issue(moment)).last_updated == moment
    assert issuer.calls == [START, START, START, START + SECOND]


def test_credentials_differ_and_their_secrets_are_known() -> None:
    """Each has an id of its own, and secrets that every test looks for in the log."""
    one, other = credentials(), credentials()
    assert one.access_key_id != other.access_key_id
    assert {one.secret_access_key, one.session_token} <= set(KNOWN_SECRETS)
