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

_VARIABLE = re.compile(r"\{\{|\}\}|\{([a-z_]+)\}")


def names_in(text: str) -> set[str]:
    """Return the names of the variables in a text."""
    return {found[1] for found in _VARIABLE.finditer(text) if found[1] is not None}


def expand(text: str, known: Mapping[str, str | None]) -> str | None:
    """Return a text with its variables filled in; None where one is not known.

    Where there is a variable, ``{{`` and ``}}`` are braces; a text without any stays as it is.
    """
    names = names_in(text)
    if any(known.get(name) is None for name in names):
        return None
    if not names:
        return text
    return _VARIABLE.sub(lambda found: known[found[1]] or "" if found[1] is not None else found[0][0], text)
