"""Durations as people write them."""

from __future__ import annotations

import re
from datetime import timedelta

_DURATION = re.compile(
    r"(?=.)(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m(?!s))?(?:([0-9]{1,9}(?:\.[0-9]{1,3})?)s)?(?:([0-9]{1,9})ms)?"
)
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,3})?")


def parse_duration(text: str) -> timedelta | None:
    """Return ``800ms``, ``90s``, ``15m``, ``1h30m`` or a number of seconds as a duration; None for anything else."""
    if _SECONDS.fullmatch(text):
        return timedelta(seconds=float(text))
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds)


def format_duration(duration: timedelta) -> str:
    """Return a duration in the same words, in whole milliseconds."""
    seconds, milliseconds = divmod(round(duration / timedelta(milliseconds=1)), 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = {"h": hours, "m": minutes, "s": seconds, "ms": milliseconds}
    return "".join(f"{number}{unit}" for unit, number in parts.items() if number) or "0s"
