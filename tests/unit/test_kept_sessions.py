"""What is kept of a session, and when the next daemon may serve it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import KNOWN_SECRETS, START, FakeClock, credentials

from imds.core.kept_sessions import KeptSession, Moment, bundle, unbundle
from imds.core.skew import Observation, Skew
from imds.core.store import Store

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
BOOT, OTHER_BOOT = "one", "another"


def moment(clock: FakeClock, boot: str | None = BOOT) -> Moment:
    """Return now."""
    return Moment(now=clock.now(), elapsed=clock.elapsed(), boot=boot)


def kept(clock: FakeClock, *, lived: timedelta = timedelta(), lifetime: timedelta = HOUR) -> KeptSession:
    """Return a session that has ``lived`` by now."""
    return KeptSession(
        role="app",
        configured="digest",
        origin="files",
        credentials=credentials(now=clock.now() - lived, lifetime=lifetime),
        elapsed_at_issue=clock.elapsed() - lived,
        kept=moment(clock),
        observation=None,
    )


def remaining(session: KeptSession, clock: FakeClock, boot: str | None = BOOT) -> timedelta | None:
    """Return how long the next daemon serves it; None where it does not."""
    issued = session.issued(moment(clock, boot))
    store = Store(clock=clock, skew=Skew(clock=clock))
    store.add("app")
    if issued is None or not store.restore("app", session.credentials, issued):
        return None
    assert store.credentials("app") is session.credentials
    return store.remaining(store.state("app"))


async def test_a_live_session_lives_as_long_as_it_would_have(clock: FakeClock) -> None:
    """Ten minutes of an hour are over, five more pass without a daemon: 45 are left."""
    session = kept(clock, lived=10 * MINUTE)
    await clock.advance(5 * MINUTE)
    assert remaining(session, clock) == 45 * MINUTE


@pytest.mark.parametrize("boot", [BOOT, OTHER_BOOT, None])
async def test_an_expired_session_is_not_served(clock: FakeClock, boot: str | None) -> None:
    """Neither in the same boot nor after another."""
    session = kept(clock)
    await clock.advance(HOUR)
    assert remaining(session, clock, boot) is None


async def test_a_clock_stepped_back_revives_nothing(clock: FakeClock) -> None:
    """An hour has passed, and the wall clock is set back: the time elapsed counts."""
    session = kept(clock)
    await clock.advance(HOUR)
    await clock.step(-HOUR)
    assert remaining(session, clock) is None


async def test_a_clock_stepped_back_stretches_nothing(clock: FakeClock) -> None:
    """Half an hour has passed: whatever the wall clock says, no more than the other half is left."""
    session = kept(clock)
    await clock.advance(HOUR / 2)
    await clock.step(-HOUR)
    assert remaining(session, clock) == HOUR / 2


async def test_a_clock_stepped_forward_ends_it(clock: FakeClock) -> None:
    """What the wall clock calls expired is not served."""
    session = kept(clock)
    await clock.step(HOUR)
    assert remaining(session, clock) is None


@pytest.mark.parametrize("boot", [OTHER_BOOT, None])
async def test_after_another_boot_the_wall_clock_counts(clock: FakeClock, boot: str | None) -> None:
    """The time elapsed began anew: what passed by the wall clock is added to what had been lived before."""
    session = kept(clock, lived=10 * MINUTE)
    clock._elapsed = 20 * SECOND
    clock._now += 5 * MINUTE
    assert remaining(session, clock, boot) == 45 * MINUTE


async def test_after_another_boot_a_clock_that_went_back_tells_nothing(clock: FakeClock) -> None:
    """A machine whose clock has lost the time cannot say how long it was off."""
    session = kept(clock, lived=10 * MINUTE)
    clock._elapsed = 20 * SECOND
    clock._now -= SECOND
    assert remaining(session, clock, OTHER_BOOT) is None


async def test_time_that_ran_backwards_is_not_believed(clock: FakeClock) -> None:
    """The same boot with less time elapsed than when it was kept: damaged, or another machine's."""
    session = kept(clock)
    clock._elapsed -= SECOND
    assert remaining(session, clock) is None


@pytest.mark.parametrize(
    ("passed", "stepped", "boot", "holds"),
    [
        (MINUTE, timedelta(), BOOT, True),
        (12 * HOUR, 20 * SECOND, BOOT, True),
        (MINUTE, 2 * MINUTE, BOOT, False),
        (MINUTE, -2 * MINUTE, BOOT, False),
        (MINUTE, timedelta(), OTHER_BOOT, False),
        (MINUTE, timedelta(), None, False),
    ],
)
async def test_the_schedule_holds_while_the_clocks_do(
    clock: FakeClock, passed: timedelta, stepped: timedelta, boot: str | None, *, holds: bool
) -> None:
    """After a step and after another boot it is renewed at once; an NTP daemon's slewing is no step."""
    session = kept(clock)
    await clock.advance(passed)
    await clock.step(stepped)
    assert session.schedule_holds(moment(clock, boot)) is holds


@given(
    lived=st.integers(0, 3600),
    passed=st.integers(0, 8 * 3600),
    stepped=st.integers(-9 * 3600, 9 * 3600),
    lifetime=st.sampled_from([15, 900, 3600, 43200]),
)
async def test_nothing_expired_is_served_whatever_the_clock_does(
    lived: int, passed: int, stepped: int, lifetime: int
) -> None:
    """Within a boot, any time without a daemon and any step: never longer than the session really lives."""
    clock = FakeClock()
    session = kept(clock, lived=lived * SECOND, lifetime=lifetime * SECOND)
    await clock.advance(passed * SECOND)
    await clock.step(stepped * SECOND)
    left = remaining(session, clock)
    if left is not None:
        assert left <= (lifetime - lived - passed) * SECOND
        assert not session.credentials.expired(clock.now())


@pytest.mark.parametrize("name", ["me-here", None])
@pytest.mark.parametrize("seen", [None, Observation(server=START, elapsed=HOUR, difference=-MINUTE)])
def test_it_is_kept_whole(clock: FakeClock, name: str | None, seen: Observation | None) -> None:
    """What is read is what was written; nothing but the session is in it."""
    session = replace(kept(clock), observation=seen)
    session = replace(session, credentials=replace(session.credentials, role_session_name=name))
    (text,) = unbundle(bundle([session.to_json()]))
    assert KeptSession.from_json(text) == session
    fields = {"role", "configured", "origin", "credentials", "elapsed_at_issue", "kept", "observation"}
    assert set(json.loads(text)) == fields


def damaged() -> dict[str, bytes]:
    """Return texts that are no session."""
    good = json.loads(kept(FakeClock()).to_json())
    changed = {
        "no secret": good | {"credentials": good["credentials"] | {"secret_access_key": None}},
        "no token": good | {"credentials": good["credentials"] | {"session_token": ""}},
        "no time zone": good | {"credentials": good["credentials"] | {"expiration": "2030-01-01T00:00:00"}},
        "endless": good | {"elapsed_at_issue": float("inf")},
        "not a number": good | {"elapsed_at_issue": float("nan")},
        "a text for a number": good | {"elapsed_at_issue": "1"},
        "half a kept": good | {"kept": {}},
        "an observation too short": good | {"observation": ["2030-01-01T00:00:00+00:00"]},
        "a number for a role": good | {"role": 5},
    }
    texts = {name: json.dumps(value).encode() for name, value in changed.items()}
    return texts | {"nothing": b"", "cut short": kept(FakeClock()).to_json()[:-9], "a list": b"[]", "bytes": b"\xff\0"}


@pytest.mark.parametrize("name", damaged())
def test_what_is_damaged_is_told_without_its_content(name: str) -> None:
    """An error whose text, and whose chain of causes, has no secret."""
    with pytest.raises(ValueError, match="damaged") as caught:
        KeptSession.from_json(damaged()[name])
    assert caught.value.__cause__ is None
    assert not any(secret in str(caught.value) for secret in KNOWN_SECRETS)


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b'{"version":2,"sessions":[]}', b'{"version":1,"sessions":7}', b"\xff"]
)
def test_a_damaged_bundle_is_told(text: bytes) -> None:
    """One of a later version, too."""
    with pytest.raises(ValueError, match="damaged"):
        unbundle(text)


def test_a_kept_session_shows_no_secret(clock: FakeClock) -> None:
    """Its repr neither."""
    assert not any(secret in repr(kept(clock)) for secret in KNOWN_SECRETS)
