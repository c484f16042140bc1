"""Durations as people write them."""

from __future__ import annotations

import re

_SPAN = re.compile(r"(?=.)(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,9}(?:\.\d{1,3})?)s)?(?:(\d{1,9})ms)?")


def parse_span(text: str) -> float | None:
    """Return ``800ms``, ``90s``, ``2m``, ``1h30m`` or a number of seconds as seconds; None for anything else."""
    if re.fullmatch(r"\d{1,9}(\.\d{1,3})?", text):
        return float(text)
    found = _SPAN.fullmatch(text)
    if found is None:
        return None
    hours, minutes, seconds, thousandths = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds + thousandths / 1000
