"""JSON documents of an endpoint: read without showing what is in them."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from imds.conformance.rule import BrokenError, require

if TYPE_CHECKING:
    from imds.conformance.wire import Reply

TIME: Final = "such as 2026-01-31T12:00:00Z"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def document(reply: Reply, *, what: str) -> dict[str, Any]:
    """Return the JSON object in an answer.

    Raises:
        BrokenError: there is none.
    """
    try:
        found = json.loads(reply.body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BrokenError(f"{what}: {reply}, no object of JSON", "an object of JSON")
    return found


def texts(found: dict[str, Any], *names: str, what: str) -> None:
    """Check that a document has all of these fields, each a text that is not empty.

    Raises:
        BrokenError: it has not.
    """
    for name in names:
        value = found.get(name)
        seen = f"{what}: {name} is {'missing' if value is None else 'empty' if value == '' else 'no text'}"
        require(isinstance(value, str) and value, seen, f"{name}, a text")


def moment(found: dict[str, Any], name: str, *, what: str) -> datetime:
    """Return the time in a field.

    Raises:
        BrokenError: it is none, or not written as every client reads it.
    """
    value = found.get(name)
    require(isinstance(value, str) and _TIME.fullmatch(value), f"{what}: {name} is {value!r}", TIME)
    try:
        return datetime.fromisoformat(str(value))
    except ValueError as error:
        raise BrokenError(f"{what}: {name} is {value!r}", TIME) from error


def seconds_left(found: dict[str, Any], *, what: str) -> float:
    """Return for how long credentials are good still.

    Raises:
        BrokenError: their ``Expiration`` is none.
    """
    return (moment(found, "Expiration", what=what) - datetime.now(UTC)).total_seconds()
