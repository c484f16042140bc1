"""Codes of virtual MFA devices (RFC 6238): of a seed and the time, with SHA-1 and thirty seconds as AWS has them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

STEP = timedelta(seconds=30)
"""For so long a code is the same."""

SHORTEST_SEED = 10
"""Bytes; RFC 4226 asks for sixteen, several providers give ten, AWS gives forty."""


def code_at(seed: bytes, moment: datetime, *, digits: int = 6) -> str:
    """Return the code of the step in which ``moment`` (aware) is."""
    counter = int(moment.timestamp()) // int(STEP.total_seconds())
    digest = hmac.new(seed, counter.to_bytes(8), hashlib.sha1).digest()
    start = digest[-1] & 0x0F
    number = int.from_bytes(digest[start : start + 4]) & 0x7FFFFFFF
    return f"{number % 10**digits:0{digits}}"


def next_code(moment: datetime) -> datetime:
    """Return when the next step begins."""
    into = timedelta(seconds=moment.timestamp() % STEP.total_seconds())
    return moment + STEP - into


def read_seed(text: str) -> bytes:
    """Return a seed that AWS shows as a "secret key": base32, in groups or not.

    Raises:
        ValueError: it is none; the text repeats nothing of it.
    """
    plain = "".join(text.split()).replace("-", "").rstrip("=").upper()
    try:
        seed = base64.b32decode(plain + "=" * (-len(plain) % 8))
    except (binascii.Error, ValueError):
        raise ValueError("a seed is base32: letters A to Z and digits 2 to 7") from None
    if len(seed) < SHORTEST_SEED:
        raise ValueError(f"a seed has at least {SHORTEST_SEED * 8 // 5} characters: has it been cut off?")
    return seed
