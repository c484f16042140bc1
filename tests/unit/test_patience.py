"""A source that failed is asked again once for all its roles, when that may help and not before."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.fakes import START

from imds.aws.patience import TRY_ANYWAY, Patience, Watched
from imds.core.errors import Action, CredentialsError

SECOND = timedelta(seconds=1)


def failure(action: Action, waits_for: str | None = None) -> CredentialsError:
    """Return a failure that calls for ``action``."""
    return CredentialsError("Code", "words", action=action, waits_for=waits_for)


def passes(patience: Patience, now) -> bool:
    """Whether an attempt may be made."""
    try:
        patience.check(now)
    except CredentialsError:
        return False
    return True


def test_a_fault_is_waited_out():
    """After a fault nobody asks until its back-off ends, and is told how long that is."""
    patience = Patience()
    told = patience.failed(failure(Action.RETRY), START)
    assert (told.code, told.message, told.action) == ("Code", "words", Action.RETRY)
    assert SECOND <= told.again_after <= 2 * SECOND
    with pytest.raises(CredentialsError) as caught:
        patience.check(START + SECOND / 2)
    assert caught.value.again_after == told.again_after - SECOND / 2
    assert passes(patience, START + told.again_after)


def test_the_back_off_grows_with_every_failure_in_a_row():
    """Each failure waits longer, up to the schedule's limit; a success begins anew."""
    patience = Patience()
    waits = [patience.failed(failure(Action.RETRY), START).again_after for _ in range(40)]
    assert max(waits[:2]) <= 4 * SECOND
    assert 4 * SECOND < max(waits) <= 60 * SECOND
    patience.over()
    assert passes(patience, START)
    assert patience.failed(failure(Action.RETRY), START).again_after <= 2 * SECOND


def test_waiting_for_a_person_looks_at_files(tmp_path):
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
    now = START
    patience = Patience(Watched([file, folder]), waits_for="a sign-in")
    for change in changes:
        told = patience.failed(failure(Action.REAUTHENTICATE), now)
        assert (told.again_after, told.waits_for) == (5 * SECOND, "a sign-in")
        assert not passes(patience, now + 2 * SECOND)
        change()
        assert passes(patience, now + 5 * SECOND)
        now += timedelta(hours=1)


def test_waiting_for_a_person_tries_anyway_at_last(tmp_path):
    """Something else than the files may have changed, so after ten minutes one attempt is made."""
    patience = Patience(Watched([tmp_path / "token"]))
    patience.failed(failure(Action.REAUTHENTICATE), START)
    assert not passes(patience, START + TRY_ANYWAY - SECOND)
    assert passes(patience, START + TRY_ANYWAY)


def test_many_roles_share_one_look(tmp_path):
    """Roles that ask in the same second cause one look at the files."""
    looks = []

    class Counted(Watched):
        def look(self) -> object:
            looks.append(1)
            return ()

    patience = Patience(Counted([tmp_path]))
    patience.failed(failure(Action.REAUTHENTICATE), START)
    looks.clear()
    assert not any(passes(patience, START + 5 * SECOND) for _ in range(1000))
    assert len(looks) == 1


def test_what_the_failure_itself_waits_for_counts_first():
    """A failure that knows what a person has to do is not overruled; one that needs no person waits for none."""
    patience = Patience(waits_for="a sign-in")
    assert patience.failed(failure(Action.REAUTHENTICATE, "a code"), START).waits_for == "a code"
    assert patience.failed(failure(Action.DENIED), START).waits_for is None


def test_a_folder_that_may_not_be_read_is_no_failure(tmp_path):
    """What cannot be looked at never changes."""
    watched = Watched([tmp_path / "file" / "below", tmp_path / "missing"])
    (tmp_path / "file").write_text("x")
    assert watched.look() == watched.look()
    assert watched
    assert not Watched()
