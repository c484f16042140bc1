"""A source that failed is asked again once for all its roles, when that may help and not before."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from imds.aws.patience import TRY_ANYWAY, Patience, Watched
from imds.core.errors import Action, CredentialsError

SECOND = timedelta(seconds=1)


def failure(action: Action, waits_for: str | None = None) -> CredentialsError:
    """Return a failure that calls for ``action``."""
    return CredentialsError("Code", "words", action=action, waits_for=waits_for)


async def passes(patience: Patience) -> bool:
    """Whether an attempt may be made."""
    try:
        await patience.check()
    except CredentialsError:
        return False
    return True


async def test_a_fault_is_waited_out(clock):
    """After a fault nobody asks until its back-off ends, and is told how long that is."""
    patience = Patience(clock=clock)
    told = patience.failed(failure(Action.RETRY))
    assert (told.code, told.message, told.action) == ("Code", "words", Action.RETRY)
    assert SECOND <= told.again_after <= 2 * SECOND
    await clock.advance(SECOND / 2)
    with pytest.raises(CredentialsError) as caught:
        await patience.check()
    assert caught.value.again_after == told.again_after - SECOND / 2
    await clock.advance(told.again_after)
    assert await passes(patience)


async def test_the_back_off_grows_with_every_failure_in_a_row(clock):
    """Each failure waits longer, up to the schedule's limit; a success begins anew."""
    patience = Patience(clock=clock)
    told = [patience.failed(failure(Action.RETRY)) for _ in range(40)]
    waits = [one.again_after for one in told]
    assert max(waits[:2]) <= 4 * SECOND
    assert 4 * SECOND < max(waits) <= 60 * SECOND
    assert [one.in_a_row for one in told] == list(range(1, 41))
    patience.over()
    assert await passes(patience)
    assert patience.failed(failure(Action.RETRY)).again_after <= 2 * SECOND


@pytest.mark.parametrize("step", [timedelta(hours=2), timedelta(hours=-2)])
async def test_a_stepped_clock_changes_no_back_off(clock, step):
    """A wall clock that is set does not prolong a wait, nor end it."""
    patience = Patience(clock=clock)
    told = patience.failed(failure(Action.RETRY))
    await clock.step(step)
    assert not await passes(patience)
    await clock.advance(told.again_after)
    assert await passes(patience)


async def test_waiting_for_a_person_looks_at_files(clock, tmp_path):
    """While a person must act nobody asks, but a file that changes, appears or goes lets the next attempt pass."""
    file, folder = tmp_path / "token", tmp_path / "cache"
    folder.mkdir()
    changes = [
        lambda: file.write_text("one"),
        lambda: file.write_text("another"),
        file.unlink,
        lambda: (folder / "new").write_text("x"),
        lambda: (folder / "new").write_text("xy"),
    ]
    patience = Patience(clock=clock, watched=Watched([file, folder]), waits_for="a sign-in")
    assert await passes(patience)
    for change in changes:
        told = patience.failed(failure(Action.REAUTHENTICATE))
        assert (told.again_after, told.waits_for) == (5 * SECOND, "a sign-in")
        await clock.advance(2 * SECOND)
        assert not await passes(patience)
        change()
        await clock.advance(3 * SECOND)
        assert await passes(patience)


async def test_a_sign_in_during_the_attempt_is_noticed(clock, tmp_path):
    """What was seen before the attempt counts, so that a person who acts while it fails need not act again."""
    token = tmp_path / "token"
    patience = Patience(clock=clock, watched=Watched([token]), waits_for="a sign-in")
    assert await passes(patience)
    token.write_text("new")
    patience.failed(failure(Action.REAUTHENTICATE))
    await clock.advance(5 * SECOND)
    assert await passes(patience)


async def test_waiting_for_a_person_tries_anyway_at_last(clock, tmp_path):
    """Something else than the files may have changed, so after ten minutes one attempt is made."""
    patience = Patience(clock=clock, watched=Watched([tmp_path / "token"]), waits_for="a sign-in")
    assert await passes(patience)
    patience.failed(failure(Action.REAUTHENTICATE))
    await clock.advance(TRY_ANYWAY - SECOND)
    assert not await passes(patience)
    await clock.advance(SECOND)
    assert await passes(patience)


async def test_what_leaves_no_trace_is_tried_sooner(clock, tmp_path):
    """Where no file shows that a person has acted, an attempt does, within the minute at first."""
    patience = Patience(clock=clock, watched=Watched([tmp_path / "config"]))
    patience.failed(failure(Action.REAUTHENTICATE))
    await clock.advance(timedelta(minutes=1))
    assert await passes(patience)


async def test_many_roles_share_one_look(clock, tmp_path):
    """Roles that ask in the same second cause one look at the files."""
    looks = []

    class Counted(Watched):
        def look_now(self) -> object:
            looks.append(1)
            return ()

    patience = Patience(clock=clock, watched=Counted([tmp_path]), waits_for="a sign-in")
    assert await passes(patience)
    patience.failed(failure(Action.REAUTHENTICATE))
    looks.clear()
    await clock.advance(5 * SECOND)
    assert not any(await asyncio.gather(*(passes(patience) for _ in range(1000))))
    assert len(looks) == 1


def test_what_the_failure_itself_waits_for_counts_first(clock):
    """A failure that knows what a person has to do is not overruled; one that needs no person waits for none."""
    patience = Patience(clock=clock, waits_for="a sign-in")
    assert patience.failed(failure(Action.REAUTHENTICATE, "a code")).waits_for == "a code"
    assert patience.failed(failure(Action.DENIED)).waits_for is None


async def test_a_folder_that_may_not_be_read_is_no_failure(tmp_path):
    """What cannot be looked at never changes."""
    watched = Watched([tmp_path / "file" / "below", tmp_path / "missing"])
    (tmp_path / "file").write_text("x")
    assert await watched.look() == await watched.look()
    assert watched
    assert not Watched()
