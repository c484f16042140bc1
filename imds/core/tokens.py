"""IMDSv2 session tokens: stateless, so that nothing a caller does fills or evicts anything, and a restart keeps them.

A token is 40 bytes, 56 characters of URL-safe base64 as on EC2: three constant bytes (EC2's tokens begin ``AQAE``),
the expiry in seconds since the epoch (5 bytes), a nonce (8), and an HMAC-SHA256 over these and the instance's name,
cut to 24 bytes. It belongs to one virtual instance, as an EC2 token belongs to one instance.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from imds.core.errors import BadRequestError, TokenError

if TYPE_CHECKING:
    from datetime import datetime

MIN_TTL, MAX_TTL = 1, 21600
"""Seconds; EC2 user guide, "Configure the Instance Metadata Service"."""

KEY_BYTES = 32
MOST_VERIFIED = 4096
"""Good tokens remembered, so that a client's second request costs no HMAC; forgetting one costs nothing else."""

_PREFIX, _MAC_BYTES, _TOKEN_BYTES, _TOKEN_CHARACTERS = b"\x01\x00\x04", 24, 40, 56


def parse_ttl(text: str | None) -> int:
    """Return the token TTL a client asked for, in seconds.

    Raises:
        BadRequestError: it is missing, not a plain integer, or outside 1..21600.
    """
    stripped = (text or "").strip()
    if not (stripped.isascii() and stripped.isdigit() and len(stripped) <= len(str(MAX_TTL))):
        raise BadRequestError("token TTL is missing or not a number of seconds")
    ttl = int(stripped)
    if not MIN_TTL <= ttl <= MAX_TTL:
        raise BadRequestError(f"token TTL {ttl} is not within {MIN_TTL}..{MAX_TTL}")
    return ttl


class SessionTokens:
    """Makes and checks session tokens under one key (``KEY_BYTES`` random bytes, secret)."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._verified: dict[tuple[str, str], int] = {}

    def issue(self, instance: str, ttl: int, now: datetime) -> str:
        """Return a token for ``instance`` that lives ``ttl`` seconds."""
        expiry = int(now.timestamp()) + ttl
        head = _PREFIX + expiry.to_bytes(5, "big") + secrets.token_bytes(8)
        return base64.urlsafe_b64encode(head + self._mac(head, instance)).decode()

    def remaining(self, token: str, instance: str, now: datetime) -> int:
        """Return how many seconds ``token`` still lives.

        Raises:
            TokenError: it is not one of ours, belongs to another instance, or has expired.
        """
        expiry = self._verified.get((token, instance))
        if expiry is None:
            expiry = self._verify(token, instance)
            if len(self._verified) >= MOST_VERIFIED:
                self._verified.clear()
            self._verified[token, instance] = expiry
        left = expiry - now.timestamp()
        if left <= 0:
            raise TokenError("session token has expired")
        # a clock stepped back must not stretch a token beyond what was ever granted
        return min(int(timedelta(seconds=left).total_seconds()), MAX_TTL)

    def _verify(self, token: str, instance: str) -> int:
        """Return when ``token`` ends, in seconds since the epoch."""
        raw = _decode(token)
        head, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(head, instance)):
            raise TokenError("session token is not one of ours")
        return int.from_bytes(head[len(_PREFIX) : len(_PREFIX) + 5], "big")

    def _mac(self, head: bytes, instance: str) -> bytes:
        return hmac.digest(self._key, head + instance.encode(), hashlib.sha256)[:_MAC_BYTES]


def _decode(token: str) -> bytes:
    if len(token) != _TOKEN_CHARACTERS or not token.isascii():
        raise TokenError("session token is not one of ours")
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise TokenError("session token is not one of ours") from error
    if len(raw) != _TOKEN_BYTES or not raw.startswith(_PREFIX):
        raise TokenError("session token is not one of ours")
    return raw
