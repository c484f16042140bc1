"""IMDSv2 session tokens."""

from __future__ import annotations

import base64
import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import START

from imds.core.errors import BadRequestError, TokenError
from imds.core.tokens import KEY_BYTES, MAX_TTL, SessionTokens, parse_ttl

TTLS = json.loads((Path(__file__).parents[1] / "data" / "token_ttls.json").read_text())
KEY = bytes(range(KEY_BYTES))
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("row", TTLS, ids=lambda row: row["docs"])
def test_ttl(row: dict) -> None:
    """The table of TTLs holds."""
    for index, text in enumerate(row["request"]):
        if row["expect"] is None:
            with pytest.raises(BadRequestError):
                parse_ttl(text)
        else:
            assert parse_ttl(text) == row["expect"][index]


@given(st.integers(1, MAX_TTL), st.text(max_size=40))
def test_a_token_looks_like_ec2s_and_lives_its_ttl(ttl: int, instance: str) -> None:
    """56 characters beginning AQAE, good as a header's value, live until the TTL is over and not longer."""
    tokens = SessionTokens(KEY)
    token = tokens.issue(instance, ttl, START)
    assert re.fullmatch(r"AQAE[A-Za-z0-9_-]{50}==", token)
    assert tokens.remaining(token, instance, START) == ttl
    assert tokens.remaining(token, instance, START + (ttl - 1) * SECOND) == 1
    with pytest.raises(TokenError, match="expired"):
        tokens.remaining(token, instance, START + ttl * SECOND)


def test_a_restart_keeps_tokens() -> None:
    """Nothing but the key is needed to know a token again."""
    token = SessionTokens(KEY).issue("default", 60, START)
    assert SessionTokens(KEY).remaining(token, "default", START) == 60


def test_every_token_is_another() -> None:
    """A thousand tokens of one moment differ, and all of them live."""
    tokens = SessionTokens(KEY)
    issued = {tokens.issue("default", 60, START) for _ in range(1000)}
    assert len(issued) == 1000
    assert all(tokens.remaining(token, "default", START) == 60 for token in issued)


def test_a_token_belongs_to_one_instance_and_one_key() -> None:
    """Another instance, or a daemon with another key, does not take it."""
    token = SessionTokens(KEY).issue("one", 60, START)
    with pytest.raises(TokenError):
        SessionTokens(KEY).remaining(token, "two", START)
    with pytest.raises(TokenError):
        SessionTokens(bytes(KEY_BYTES)).remaining(token, "one", START)


def test_no_bit_can_be_changed() -> None:
    """Each of the 320 bits counts: expiry, nonce and code alike."""
    tokens = SessionTokens(KEY)
    raw = base64.urlsafe_b64decode(tokens.issue("default", 60, START))
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(TokenError):
            tokens.remaining(base64.urlsafe_b64encode(changed).decode(), "default", START)


@given(st.one_of(st.text(max_size=80), st.text(alphabet="AQE_-=b", min_size=56, max_size=56)))
def test_garbage_is_no_token(text: str) -> None:
    """Whatever is sent, it is a TokenError and nothing else."""
    with pytest.raises(TokenError):
        SessionTokens(KEY).remaining(text, "default", START)


@pytest.mark.parametrize("change", [str.lower, str.upper, lambda t: t[:-2], lambda t: t + "=", lambda t: " " + t[1:]])
def test_a_token_is_taken_as_it_was_given(change) -> None:
    """Another case, less padding or a blank is another token."""
    tokens = SessionTokens(KEY)
    with pytest.raises(TokenError):
        tokens.remaining(change(tokens.issue("default", 60, START)), "default", START)


def test_a_clock_stepped_back_stretches_no_token() -> None:
    """What is told of the time left never exceeds what was ever granted."""
    tokens = SessionTokens(KEY)
    token = tokens.issue("default", MAX_TTL, START)
    assert tokens.remaining(token, "default", START - timedelta(days=2)) == MAX_TTL
