"""Leases: their bounds, their end, and the scope that a command of theirs runs in."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from support.fakes import START, FakeClock, credentials

from imds.core.callers import Caller, Place
from imds.core.container_tokens import ContainerTokens
from imds.core.errors import BadRequestError, NoSuchPathError, TokenError
from imds.core.leases import MOST, MOST_OF_USER, Lease, Leases, new_id, scope_of
from imds.core.matching import Match
from imds.core.policy import Rule, decide
from imds.core.schedule import NEVER, next_refresh, until

HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
OWN = "/user.slice/user-1000.slice/user@1000.service/app.slice"


def lease(clock: FakeClock, *, ttl: timedelta = HOUR, **changes: object) -> Lease:
    """Return a lease that begins now."""
    made = Lease(
        id=new_id(),
        role="app",
        role_arn="arn:aws:iam::111122223333:role/app",
        instance="default",
        uid=1000,
        owner=1000,
        user="alice",
        reason="",
        narrowed="",
        session_name="alice-lease",
        began=clock.now(),
        ends=clock.now() + ttl,
        ends_elapsed=clock.elapsed() + ttl,
        held=False,
    )
    return replace(made, **changes)


@pytest.fixture
def leases(clock: FakeClock) -> Leases:
    """None yet."""
    return Leases(clock=clock)


async def test_a_lease_is_over_in_time(clock: FakeClock, leases: Leases) -> None:
    """Until its last second it is live, then not, whoever has noticed."""
    one = lease(clock)
    leases.add(one)
    await clock.advance(HOUR - SECOND)
    assert leases.get(one.id) is one
    await clock.advance(SECOND)
    assert leases.get(one.id) is None
    assert leases.live() == []


async def test_a_clock_that_is_set_back_lengthens_nothing(clock: FakeClock, leases: Leases) -> None:
    """The time really elapsed counts too; a clock set forward ends it sooner."""
    one = lease(clock)
    leases.add(one)
    await clock.step(-5 * HOUR)
    await clock.advance(HOUR)
    assert leases.get(one.id) is None
    other = lease(clock)
    leases.add(other)
    await clock.step(HOUR)
    assert leases.get(other.id) is None


async def test_there_are_not_too_many(clock: FakeClock, leases: Leases) -> None:
    """One user has so many, all together have so many, and those that are over do not count."""
    for _ in range(MOST_OF_USER):
        leases.add(lease(clock))
    with pytest.raises(BadRequestError, match="revoke some"):
        leases.add(lease(clock))
    for number in range(MOST - MOST_OF_USER):
        leases.add(lease(clock, owner=2000 + number))
    with pytest.raises(BadRequestError, match="the most that this daemon keeps"):
        leases.add(lease(clock, owner=5000))
    await clock.advance(HOUR)
    leases.add(lease(clock))


async def test_what_has_ended_is_remembered_while_its_keys_work(clock: FakeClock, leases: Leases) -> None:
    """Of a lease that gave keys it is known until when the last of them work, and then nothing more."""
    one, unused = lease(clock), lease(clock)
    for each in (one, unused):
        leases.add(each)
    leases.note_given(one.id, credentials(lifetime=HOUR))
    leases.note_given(one.id, credentials(lifetime=MINUTE))
    ended = leases.end(one.id, "revoked")
    assert ended.keys_until == START + HOUR
    assert leases.end(one.id, "again") is None
    assert leases.end(unused.id, "revoked").keys_until is None
    assert leases.ended(one.id).why == "revoked"
    with pytest.raises(NoSuchPathError):
        leases.ended(unused.id)
    await clock.advance(HOUR)
    with pytest.raises(NoSuchPathError):
        leases.ended(one.id)


SCOPES = [
    # control group, the id in it
    (f"{OWN}/imds-lease-0f3a9c21b7d4.scope", "0f3a9c21b7d4"),
    (f"{OWN}/imds-lease-0f3a9c21b7d4.scope/deeper/still", "0f3a9c21b7d4"),
    ("/system.slice/imds-lease-0f3a9c21b7d4.scope", "0f3a9c21b7d4"),
    (f"{OWN}/imds-lease-a.scope/imds-lease-b.scope", "a"),
    (f"{OWN}/ximds-lease-a.scope", None),
    (f"{OWN}/imds-lease-a.service", None),
    (f"{OWN}/imds-lease-.scope", None),
    (f"/docker/{'a' * 64}/imds-lease-a.scope", None),
    (f"/system.slice/docker-{'a' * 64}.scope/imds-lease-a.scope", None),
    (OWN, None),
    (None, None),
]


@pytest.mark.parametrize(("cgroup", "found"), SCOPES)
def test_scope_of_a_control_group(cgroup: str | None, found: str | None) -> None:
    """The outermost scope counts, and what a container or a service calls itself does not."""
    assert scope_of(Caller(address="127.0.0.1", uid=1000, cgroup=cgroup)) == found
    assert scope_of(Caller(address="10.0.0.7", place=Place.ELSEWHERE, cgroup=cgroup)) is None


async def test_who_runs_in_a_scope_is_known_by_its_lease(clock: FakeClock, leases: Leases) -> None:
    """Only the user who has the lease is in it, and only while it is live."""
    one = lease(clock)
    leases.add(one)
    inside = Caller(address="127.0.0.1", uid=1000, cgroup=f"{OWN}/imds-lease-{one.id}.scope")
    assert leases.role_of_scope(inside) == "app"
    assert leases.role_of_scope(replace(inside, uid=1001)) is None
    assert leases.role_of_scope(replace(inside, uid=None)) is None
    assert leases.role_of_scope(replace(inside, cgroup=f"{OWN}/imds-lease-{new_id()}.scope")) is None
    await clock.advance(HOUR)
    assert leases.role_of_scope(inside) is None


IN = Caller(address="127.0.0.1", uid=1000, cgroup=f"{OWN}/imds-lease-a.scope")
MATCHES = [
    # the role of the live lease, the control group, the answer
    (replace(IN, lease_role="app"), True),
    (replace(IN, lease_role="admin"), False),
    (IN, None),
    (replace(IN, cgroup=OWN), False),
    (replace(IN, cgroup=None), None),
    (replace(IN, place=Place.ELSEWHERE, lease_role="app"), False),
]


@pytest.mark.parametrize(("caller", "answer"), MATCHES)
def test_a_rule_that_asks_for_a_lease(caller: Caller, answer: object) -> None:
    """A live lease has a role; in the scope of one that has ended nothing is known, outside there is none."""
    assert Match(leases=("ap*",)).matches(caller) is answer


def test_the_end_of_a_lease_widens_nothing() -> None:
    """Who runs in the scope of a lease that has ended is refused, although a later rule means the user."""
    rules = (
        Rule(match=Match(leases=("app",)), instance="agent", text="lease app"),
        Rule(match=Match(users=(1000,)), instance="default", text="alice"),
    )
    assert decide(replace(IN, lease_role="app"), rules).instance == "agent"
    assert decide(IN, rules).instance is None
    assert decide(replace(IN, cgroup=OWN), rules).instance == "default"
    unseen = decide(replace(IN, cgroup=None), rules)
    assert unseen.instance is None
    assert unseen.wants, "its control group has not been looked up"


def test_the_last_session_is_not_renewed() -> None:
    """A session that lasts until nobody wants it any more is the last; a shorter one is renewed as always."""
    random = Random(1)
    hour = credentials(lifetime=HOUR)
    for ends, last in ((HOUR, True), (HOUR + 5 * SECOND, True), (2 * HOUR, False), (MINUTE, True)):
        due = until(lambda ends=ends: START + ends, next_refresh)(hour, START, random)
        assert (due == NEVER) is last, ends
        assert last or START + 25 * MINUTE < due < START + 30 * MINUTE


def test_a_token_of_a_lease_is_no_other_token() -> None:
    """It cannot be renewed or revoked as one, is kept nowhere, and ends with its lease."""
    tokens = ContainerTokens()
    token, secret = tokens.mint(role="app", instance="default", uid=1000, ttl=HOUR, now=START, lease="a")
    with pytest.raises(NoSuchPathError):
        tokens.renew(token.id, uid=1000, instance=None, ttl=HOUR, now=START)
    with pytest.raises(NoSuchPathError):
        tokens.revoke(token.id, uid=1000, instance=None)
    assert tokens.live(START) == []
    assert tokens.authorize(secret, START).lease == "a"
    tokens.end_lease("a")
    with pytest.raises(TokenError):
        tokens.authorize(secret, START)
