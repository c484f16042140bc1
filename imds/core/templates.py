"""Texts of the metadata with ``{variables}`` of the instance in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLES = (
    *("account_id", "availability_zone", "domain", "host", "image_id", "instance", "instance_id", "instance_type"),
    *("mac", "partition", "private_ip", "region", "role"),
)
"""What ``{name}`` may be; anything else in braces is just that, JSON for instance."""

_NAMED = re.compile(r"\{([a-z_]+)\}")
_VARIABLE = re.compile(r"\{\{[a-z_]+\}\}|\{([a-z_]+)\}")


def names_in(text: str) -> set[str]:
    """Return the names of the variables in a text."""
    return {found[1] for found in _VARIABLE.finditer(text) if found[1] is not None}


def expand(text: str, known: Mapping[str, str | None]) -> str | None:
    """Return a text with its variables filled in, and ``{{name}}`` as ``{name}``; None where one is not known."""
    if any(known.get(name) is None for name in names_in(text)):
        return None
    return _VARIABLE.sub(lambda found: known[found[1]] or "" if found[1] is not None else found[0][1:-1], text)


def verbatim(text: str) -> str:
    """Return a text that ``expand`` makes ``text`` of, whatever it is."""
    return _NAMED.sub(r"{{\1}}", text)
