"""What is served, and until when."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.fakes import FakeClock, credentials

from imds.core.errors import (
    PASSES_BY_ITSELF,
    Action,
    CredentialsError,
    CredentialsNotReadyError,
    CredentialsUnavailableError,
)
from imds.core.skew import Skew
from imds.core.store import LISTED_UNTIL, Store

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


@pytest.fixture
def store(clock: FakeClock) -> Store:
    """A store that knows role ``app``."""
    made = Store(clock=clock, skew=Skew(clock=clock))
    made.add("app")
    return made


def failure(action: Action = Action.RETRY) -> CredentialsError:
    """Return a failed refresh."""
    return CredentialsError("Code", "words", action=action)


async def test_the_newest_are_served_to_their_very_end(store: Store, clock: FakeClock) -> None:
    """A document is served until its last second and not at its expiration."""
    made = credentials()
    store.put("app", made)
    assert store.credentials("app") is made
    await clock.advance(HOUR - SECOND)
    assert store.credentials("app") is made
    await clock.advance(SECOND)
    with pytest.raises(CredentialsNotReadyError):
        store.credentials("app")


async def test_the_list_ends_ten_seconds_before_the_document(store: Store, clock: FakeClock) -> None:
    """Who was just told the role's name still gets its document."""
    made = credentials()
    store.put("app", made)
    await clock.advance(HOUR - LISTED_UNTIL - SECOND)
    assert store.credentials("app", at_least=LISTED_UNTIL) is made
    await clock.advance(SECOND)
    with pytest.raises(CredentialsNotReadyError):
        store.credentials("app", at_least=LISTED_UNTIL)
    assert store.credentials("app") is made


@pytest.mark.parametrize("action", Action)
def test_a_failure_changes_nothing_about_what_is_served(store: Store, action: Action) -> None:
    """Whatever the failure, live credentials are served on."""
    made = credentials()
    store.put("app", made)
    store.fail("app", failure(action))
    assert store.credentials("app") is made


@pytest.mark.parametrize("action", Action)
def test_without_credentials_the_failure_says_whether_to_wait(store: Store, action: Action) -> None:
    """What passes by itself is "not ready", what a person must mend is "unavailable"."""
    store.fail("app", failure(action))
    expected = CredentialsNotReadyError if action in PASSES_BY_ITSELF else CredentialsUnavailableError
    with pytest.raises(expected, match="Code: words"):
        store.credentials("app")


def test_before_the_first_attempt_credentials_are_on_the_way(store: Store) -> None:
    """A role that was not tried yet is "not ready"."""
    with pytest.raises(CredentialsNotReadyError, match="on the way"):
        store.credentials("app")


def test_an_unknown_role_is_unavailable(store: Store) -> None:
    """Waiting for a role that is not configured is of no use."""
    with pytest.raises(CredentialsUnavailableError, match="not configured"):
        store.credentials("other")


async def test_a_clock_stepped_back_revives_nothing(store: Store, clock: FakeClock) -> None:
    """Time elapsed counts: what has lived its hour stays dead when the wall clock is set back."""
    store.put("app", credentials())
    await clock.advance(HOUR)
    await clock.step(-HOUR)
    with pytest.raises(CredentialsNotReadyError):
        store.credentials("app")


async def test_a_clock_stepped_back_stretches_nothing(store: Store, clock: FakeClock) -> None:
    """Live credentials do not live longer by the wall clock's going back."""
    store.put("app", credentials())
    await clock.advance(HOUR / 2)
    await clock.step(-HOUR)
    state = store.state("app")
    assert state is not None
    assert store.remaining(state) == HOUR / 2


async def test_a_clock_stepped_forward_ends_them(store: Store, clock: FakeClock) -> None:
    """What the wall clock calls expired is not served, however short a time elapsed."""
    store.put("app", credentials())
    await clock.step(HOUR)
    with pytest.raises(CredentialsNotReadyError):
        store.credentials("app")


def test_failures_are_counted_until_a_success(store: Store) -> None:
    """``fail`` says how many in a row; ``put`` starts anew."""
    assert [store.fail("app", failure()) for _ in range(3)] == [1, 2, 3]
    store.put("app", credentials())
    state = store.state("app")
    assert state is not None
    assert (state.failure, state.failures) == (None, 0)
    assert store.fail("app", failure()) == 1


@pytest.mark.parametrize("end", ["put", "fail", "remove"])
async def test_the_first_attempt_ends_either_way(store: Store, end: str) -> None:
    """Whoever waits for the first attempt goes on after success, failure and removal."""
    state = store.state("app")
    assert state is not None
    assert not state.tried.is_set()
    {
        "put": lambda: store.put("app", credentials()),
        "fail": lambda: store.fail("app", failure()),
        "remove": lambda: store.remove("app"),
    }[end]()
    assert state.tried.is_set()


def test_roles_do_not_touch_each_other(store: Store) -> None:
    """One role's failure or removal leaves another's credentials."""
    store.add("other")
    made = credentials()
    store.put("other", made)
    store.fail("app", failure(Action.DENIED))
    assert store.roles() == ["app", "other"]
    store.remove("app")
    store.remove("app")
    assert store.roles() == ["other"]
    assert store.state("app") is None
    assert store.credentials("other") is made
