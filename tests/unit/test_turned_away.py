"""Clients that were turned away: remembered for a day, a bounded number of them, and until they know better."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.fakes import FakeClock

from imds.core.callers import Caller, Place, Process, Program
from imds.web.turned_away import LOOKS, MOST, REMEMBERED, TRIES_BOTH, TurnedAway, Why


@pytest.fixture
def turned(clock: FakeClock) -> TurnedAway:
    """A memory."""
    return TurnedAway(clock=clock)


def caller(program: str | None = None, uid: int | None = 1000, address: str = "127.0.0.1") -> Caller:
    """Return a caller of this host, or one beyond it."""
    process = Process(program=Program(pid=7, exe=f"/usr/bin/{program}", command=program)) if program else None
    place = Place.HERE if uid is not None else Place.ELSEWHERE
    return Caller(address=address, uid=uid, process=process, place=place)


def test_the_same_client_is_one_entry(turned):
    """The same program of the same user is counted; where its program is not known it counts as the last one."""
    for one in (caller("s3fs"), caller("s3fs"), caller(), caller("s3fs", uid=1001)):
        turned.note(Why.NO_TOKEN, one, "default")
    assert [(one.caller.uid, one.count) for one in turned.lately()] == [(1000, 3), (1001, 1)]


async def test_a_day_later(turned, clock):
    """Nobody is reproached for yesterday."""
    turned.note(Why.NO_TOKEN, caller("s3fs"), "default")
    await clock.advance(REMEMBERED)
    assert turned.lately() == []


def test_no_number_of_clients_fills_our_memory(turned):
    """The one that was silent longest makes room."""
    for number in range(2 * MOST):
        turned.note(Why.NO_RULE, caller(uid=None, address=f"10.0.0.{number}"), None)
        turned.note(Why.NO_RULE, caller(uid=None, address="10.0.0.0"), None)
    kept = [one.caller.address for one in turned.lately()]
    assert len(kept) == MOST
    assert kept[-2:] == [f"10.0.0.{2 * MOST - 1}", "10.0.0.0"]


async def test_who_asks_for_a_token_is_forgotten(turned, clock):
    """Another program's token, or one that comes much later, says nothing of a client."""
    turned.note(Why.NO_TOKEN, caller("datadog"), "default")
    assert turned.may_know_both(caller())
    assert not turned.may_know_both(caller(uid=1001))
    turned.knows_both(caller("aws"))
    assert len(turned.lately()) == 1
    turned.knows_both(caller("datadog"))
    assert turned.lately() == []
    turned.note(Why.NO_TOKEN, caller("s3fs"), "default")
    await clock.advance(TRIES_BOTH)
    assert not turned.may_know_both(caller())


def test_refused_users_of_this_host_are_not_kept(turned):
    """Of these the rules are told when they ask; only who is beyond this host is remembered."""
    turned.note(Why.NO_RULE, caller("curl"), None)
    assert turned.lately() == []


async def test_a_flood_is_looked_up_slowly(turned, clock):
    """One user's requests without a token take few look-ups, and nobody else's."""
    assert sum(turned.wants(caller()) for _ in range(1000)) == 10 * LOOKS
    assert turned.wants(caller(uid=1001))
    await clock.advance(timedelta(seconds=1))
    assert turned.wants(caller())
