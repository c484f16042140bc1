"""``persist_sessions``: one place, or an ordered list of which the first that can be used is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imds.core.kept_sessions import PLACES

if TYPE_CHECKING:
    from imds.config.document import Node

KEYED = "file"
"""The place that ``persist_key_file`` is for."""

_NOTHING = "none"


def read_places(node: Node) -> tuple[str, ...] | None:
    """Return the value of ``persist_sessions``."""
    if node.is_scalar:
        place = node.one_of(*PLACES)
        return (place,) if place is not None else None
    places: list[str] = []
    mistakes = len(node.problems.found)
    for item in node.items():
        place = item.one_of(*PLACES)
        if place is None:
            continue
        if place in places:
            item.wrong(f"{place} stands twice")
        elif _NOTHING in places:
            item.wrong(f"stands after {_NOTHING}, so it is never tried")
        places.append(place)
    if not places and len(node.problems.found) == mistakes:
        node.wrong(f"names no place: write {_NOTHING}, or one of {', '.join(PLACES[:-1])}")
    return tuple(places)
