"""Times as AWS writes most of them: ``YYYY-MM-DDTHH:MM:SSZ``, UTC, whole seconds."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache

_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


@lru_cache(maxsize=256)
def timestamp(moment: datetime) -> str:
    """Return ``moment`` (UTC) as AWS writes it."""
    return f"{moment.replace(microsecond=0, tzinfo=None).isoformat()}Z"


def parse_timestamp(text: str) -> datetime:
    """Return the moment that ``text`` is.

    Raises:
        ValueError: it is none, or not written like this.
    """
    if not _TIMESTAMP.fullmatch(text):
        raise ValueError(f"{text!r} is not a time such as 2026-01-31T12:00:00Z")
    return datetime.fromisoformat(text)
