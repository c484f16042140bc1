"""Values of a JSON file that somebody else wrote: checked as it is read, then read with the place they stand at."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DEPTH = 32
MAX_DIGITS = 18
SHOWN = 60
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")


def parse_json(content: bytes) -> object:
    """Return the value of a JSON file in UTF-8 or UTF-16, with or without a byte order mark.

    Raises:
        ValueError: it is not JSON, an object has a key twice, or a value is too deep or too large, or no text or number
            that can be served; a sentence for people.
    """
    try:
        value = json.loads(
            content, object_pairs_hook=_object, parse_int=_whole, parse_float=_finite, parse_constant=_finite
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at line {error.lineno}") from error
    except UnicodeDecodeError as error:
        raise ValueError("is not JSON: its text is neither UTF-8 nor UTF-16") from error
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    _check(value)
    return value


def shown(text: str) -> str:
    """Return a text of the file for a message: quoted, short, and harmless to a terminal."""
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")


def unquoted(text: str) -> str:
    """Return the same without quotes, for a line to copy."""
    return shown(text)[1:-1]


def kind(value: object) -> str:
    """Return what a value is, in words, for a ValueError: it is the file that is wrong, not a caller of ours."""
    if value is None:
        return "null"
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean"}
    return names.get(type(value), "a number")


def served_text(value: object) -> str:
    """Return what IMDS would answer for a value: a list has an entry a line, anything else is JSON without blanks."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return "\n".join(served_text(item) for item in value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Entry:
    """One object of the file, and where it stands."""

    def __init__(self, value: object, place: str) -> None:
        """Take ``value``; null is an object without entries.

        Raises:
            ValueError: it is no object.
        """
        if value is not None and not isinstance(value, dict):
            raise ValueError(f"{place} must be an object, not {kind(value)}")
        self.values: dict[str, object] = value or {}
        self.place = place

    def text(self, key: str) -> str | None:
        """Return a single value as text; None where it is absent, null or empty.

        Raises:
            ValueError: it is an object or a list.
        """
        value = self.values.get(key)
        if isinstance(value, dict | list):
            raise ValueError(f"{self._at(key)} must be a single value, not {kind(value)}")  # noqa: TRY004 - see kind
        return served_text(value) or None if value is not None else None

    def entry(self, key: str) -> Entry:
        """Return an object; one without entries where it is absent.

        Raises:
            ValueError: it is something else.
        """
        return Entry(self.values.get(key), self._at(key))

    def entries(self, key: str) -> list[Entry]:
        """Return the objects of a list; none where it is absent.

        Raises:
            ValueError: it is no list, or not of objects.
        """
        value = self.values.get(key)
        if value is not None and not isinstance(value, list):
            raise ValueError(f"{self._at(key)} must be a list, not {kind(value)}")
        return [Entry(item, f"{self._at(key)}[{number}]") for number, item in enumerate(value or [])]

    def texts(self, key: str, inner: str) -> list[str]:
        """Return ``inner`` of each object of a list, where it has one.

        Raises:
            ValueError: something there has another type.
        """
        return [text for entry in self.entries(key) if (text := entry.text(inner))]

    def folded(self, key: str = "") -> Entry:
        """Return an object, or this one, with its keys in lower case.

        Raises:
            ValueError: it is no object, or two keys differ in case only.
        """
        entry = self.entry(key) if key else self
        values: dict[str, object] = {}
        for name, value in entry.values.items():
            if name.lower() in values:
                raise ValueError(f"{shown(name)} stands twice in {entry.place}, in different case")
            values[name.lower()] = value
        return Entry(values, entry.place)

    def _at(self, key: str) -> str:
        name = key if re.fullmatch(r"[\w-]+", key, re.ASCII) else shown(key)
        return f"{self.place}.{name}" if self.place != "it" else name


def _object(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    values: dict[str, object] = {}
    for key, value in pairs:
        if _UNUSABLE.search(key):
            raise ValueError("has a key that is no text")
        if key in values:
            raise ValueError(f"{shown(key)} stands twice in one object")
        values[key] = value
    return values


def _whole(text: str) -> int:
    if len(text.removeprefix("-")) > MAX_DIGITS:
        raise ValueError("has a number beyond any use")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("has a number that is not finite")
    return number


def _check(content: object) -> None:
    """Look at every value for depth, and at every text for characters that cannot be served."""
    level = [content]
    for _ in range(MAX_DEPTH):
        for value in level:
            if isinstance(value, str) and _UNUSABLE.search(value):
                raise ValueError(f"{shown(value)} has a character that no text may have")
        level = [child for value in level for child in _children(value)]
        if not level:
            return
    raise ValueError("is nested too deeply")


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
