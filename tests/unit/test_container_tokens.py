"""Authorization tokens for container credentials."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from support.fakes import START

from imds.core.container_tokens import MAX_PER_USER, MAX_TTL, ContainerToken, ContainerTokens
from imds.core.errors import BadRequestError, NoSuchPathError, TokenError

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


@pytest.fixture
def tokens() -> ContainerTokens:
    """No tokens yet."""
    return ContainerTokens()


@pytest.mark.parametrize("form", ["{}", "Bearer {}", " {} "])
def test_the_secret_opens_its_entry(tokens: ContainerTokens, form: str) -> None:
    """With or without ``Bearer``, by its id and without one."""
    token, secret = tokens.mint(role="app", instance="default", uid=1000, ttl=HOUR, now=START)
    assert tokens.authorize(form.format(secret), START) == token
    assert tokens.authorize(form.format(secret), START, token_id=token.id) == token


def test_one_secret_does_not_open_another_entry(tokens: ContainerTokens) -> None:
    """The id in the path and the secret must belong together."""
    one, secret = tokens.mint(role="app", instance="default", uid=1000, ttl=HOUR, now=START)
    other, _ = tokens.mint(role="audited", instance="default", uid=1000, ttl=HOUR, now=START)
    with pytest.raises(TokenError):
        tokens.authorize(secret, START, token_id=other.id)
    with pytest.raises(TokenError):
        tokens.authorize(one.digest, START)


@pytest.mark.parametrize("header", [None, "", "Bearer ", "Bearer nonsense", "\udcff", "é"])
def test_nothing_else_opens_anything(tokens: ContainerTokens, header: str | None) -> None:
    """A missing, empty or wrong header, in any bytes, is a TokenError."""
    tokens.mint(role="app", instance="default", uid=1000, ttl=HOUR, now=START)
    with pytest.raises(TokenError):
        tokens.authorize(header, START)


def test_a_token_ends(tokens: ContainerTokens) -> None:
    """Until its last second it opens, then not."""
    _, secret = tokens.mint(role="app", instance="default", uid=1000, ttl=HOUR, now=START)
    assert tokens.authorize(secret, START + HOUR - SECOND)
    with pytest.raises(TokenError):
        tokens.authorize(secret, START + HOUR)
    assert tokens.live(START + HOUR) == []


@pytest.mark.parametrize("ttl", [timedelta(0), -SECOND, MAX_TTL + SECOND])
def test_lifetimes_have_bounds(tokens: ContainerTokens, ttl: timedelta) -> None:
    """Nothing is minted for no time or for more than a week."""
    with pytest.raises(BadRequestError):
        tokens.mint(role="app", instance="default", uid=1000, ttl=ttl, now=START)


def test_one_user_cannot_fill_it(tokens: ContainerTokens) -> None:
    """The bound holds for one user, not for another, and expired tokens do not count."""
    for _ in range(MAX_PER_USER):
        tokens.mint(role="app", instance="default", uid=1000, ttl=HOUR, now=START)
    with pytest.raises(BadRequestError, match="revoke"):
        tokens.mint(role="app", instance="default", uid=1000, ttl=HOUR, now=START)
    tokens.mint(role="app", instance="default", uid=1001, ttl=HOUR, now=START)
    tokens.mint(role="app", instance="default", uid=1000, ttl=HOUR, now=START + HOUR)


def test_only_its_user_in_its_instance_renews_and_revokes(tokens: ContainerTokens) -> None:
    """For anybody else the token does not exist."""
    token, secret = tokens.mint(role="app", instance="default", uid=1000, ttl=HOUR, now=START)
    for uid, instance in ((1001, None), (1001, "default"), (1000, "agent")):
        with pytest.raises(NoSuchPathError):
            tokens.renew(token.id, uid=uid, instance=instance, ttl=HOUR, now=START)
        with pytest.raises(NoSuchPathError):
            tokens.revoke(token.id, uid=uid, instance=instance)
    assert tokens.renew(token.id, uid=1000, instance="default", ttl=30 * MAX_TTL, now=START).expires == START + MAX_TTL
    assert tokens.authorize(secret, START + 2 * HOUR).role == "app"
    tokens.revoke(token.id, uid=1000, instance=None)
    with pytest.raises(TokenError):
        tokens.authorize(secret, START)


def test_the_expired_are_not_renewed(tokens: ContainerTokens) -> None:
    """What has ended stays ended."""
    token, _ = tokens.mint(role="app", instance="default", uid=1000, ttl=HOUR, now=START)
    with pytest.raises(NoSuchPathError, match="expired"):
        tokens.renew(token.id, uid=1000, instance=None, ttl=HOUR, now=START + HOUR)


def test_a_restart_keeps_tokens_but_no_secret(tokens: ContainerTokens) -> None:
    """What is written restores every token, and contains no secret."""
    token, secret = tokens.mint(role="app", instance="default", uid=1000, ttl=HOUR, now=START)
    written = json.dumps([token.to_json() for token in tokens.live(START)])
    assert secret not in written
    again = ContainerTokens([ContainerToken.from_json(value) for value in json.loads(written)])
    assert again.authorize(secret, START, token_id=token.id) == token


@pytest.mark.parametrize("change", [{"id": "../x"}, {"uid": "root"}, {"uid": None}, {"expires": "soon"}])
def test_damaged_state_is_noticed(tokens: ContainerTokens, change: dict) -> None:
    """What ``to_json`` did not write is an error that the caller names."""
    token, _ = tokens.mint(role="app", instance="default", uid=1000, ttl=HOUR, now=START)
    with pytest.raises((KeyError, TypeError, ValueError)):
        ContainerToken.from_json(token.to_json() | change)
    with pytest.raises(KeyError):
        ContainerToken.from_json({})
