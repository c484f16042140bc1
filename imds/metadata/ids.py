"""Ids that are made up: they look like AWS's, and are always the same for the same instance of the same host."""

from __future__ import annotations

import hashlib
import hmac


def made_up_id(kind: str, seed: bytes, which: str = "") -> str:
    """Return an id such as ``i-0123456789abcdef0``: the kind, a zero and 16 hexadecimal digits.

    Args:
        kind: as in ``i``, ``ami`` or ``subnet``.
        seed: the instance's secret; ids do not show it.
        which: tells several of one kind apart.
    """
    return f"{kind}-0{made_up(seed, f'{kind} {which}').hex()[:16]}"


def made_up(seed: bytes, what: str) -> bytes:
    """Return 32 bytes that look like chance."""
    return hmac.digest(seed, what.encode(), hashlib.sha256)
