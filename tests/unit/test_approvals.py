"""Requests that wait for somebody: for whom, for how long, and for exactly what."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from support.fakes import FakeClock

from imds.core.approvals import MOST_OF_USER, WAITS, Answer, Approvals, Asked, new_request_id
from imds.core.errors import BadRequestError, NoSuchPathError, RefusedError

SECOND = timedelta(seconds=1)


def wanted(clock: FakeClock, **changes: object) -> Asked:
    """Return a request of alice's."""
    asked = Asked(
        id=new_request_id(),
        role="admin",
        uid=1000,
        user="alice",
        instance="default",
        reason="INC-1",
        ttl=timedelta(minutes=30),
        approvers=("bob",),
        at=clock.now(),
    )
    return replace(asked, **changes)


def test_an_approval_is_taken_once(clock: FakeClock) -> None:
    """It is for who asked, for what was asked, and gone then."""
    approvals = Approvals(clock=clock)
    asked = approvals.ask(wanted(clock))
    with pytest.raises(RefusedError, match="nobody has approved"):
        approvals.take(wanted(clock))
    approvals.answer(asked.id, Answer.APPROVED, "bob")
    for change in ({"uid": 1001}, {"reason": "INC-2"}, {"ttl": timedelta(hours=1)}, {"role": "b"}, {"instance": "b"}):
        with pytest.raises(RefusedError):
            approvals.take(wanted(clock, **change))
    taken = approvals.take(wanted(clock))
    assert (taken.id, taken.by) == (asked.id, "bob")
    with pytest.raises(RefusedError):
        approvals.take(wanted(clock))


def test_a_denial_is_heard_once(clock: FakeClock) -> None:
    """Who asks hears of it, and may ask anew."""
    approvals = Approvals(clock=clock)
    asked = approvals.ask(wanted(clock))
    approvals.answer(asked.id, Answer.DENIED, "bob")
    with pytest.raises(RefusedError, match="bob has denied"):
        approvals.take(wanted(clock))
    assert approvals.ask(wanted(clock)).id != asked.id


async def test_requests_lapse(clock: FakeClock) -> None:
    """One that nobody answers lapses, and so does an approval that nobody uses, whatever the wall clock does."""
    approvals = Approvals(clock=clock)
    asked = approvals.ask(wanted(clock))
    await clock.advance(WAITS - SECOND)
    approvals.answer(asked.id, Answer.APPROVED, "bob")
    await clock.advance(WAITS - SECOND)
    assert approvals.get(asked.id).answer is Answer.APPROVED
    await clock.advance(SECOND)
    with pytest.raises(NoSuchPathError):
        approvals.get(asked.id)
    with pytest.raises(RefusedError, match="not lately"):
        approvals.take(wanted(clock))


def test_an_answer_is_final(clock: FakeClock) -> None:
    """Nobody denies what was approved."""
    approvals = Approvals(clock=clock)
    asked = approvals.ask(wanted(clock))
    approvals.answer(asked.id, Answer.APPROVED, "bob")
    with pytest.raises(BadRequestError, match="approved by bob already"):
        approvals.answer(asked.id, Answer.DENIED, "carol")


def test_one_user_fills_nothing(clock: FakeClock) -> None:
    """A user has a few requests at a time; the same one again is the same."""
    approvals = Approvals(clock=clock)
    for number in range(MOST_OF_USER):
        approvals.ask(wanted(clock, reason=f"INC-{number}"))
    assert len(approvals.live()) == MOST_OF_USER
    approvals.ask(wanted(clock, reason="INC-0"))
    with pytest.raises(BadRequestError, match="too many"):
        approvals.ask(wanted(clock, reason="more"))
    approvals.ask(wanted(clock, uid=1001))
