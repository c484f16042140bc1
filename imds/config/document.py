"""A YAML file as nodes that know their line, read strictly: one document, no key twice, nothing left unread.

Scalars keep the text that was written, so an account id or an external id of digits is not turned into a number.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import yaml

from imds.core.durations import format_duration, parse_duration
from imds.core.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import timedelta

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 100_000
NOWHERE: Mapping[str, str] = MappingProxyType({})
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(slots=True)
class Problems:
    """Collects every mistake of one file, so that all are told at once."""

    file: str
    found: list[Problem] = field(default_factory=list)

    def add(self, line: int, key: str, message: str) -> None:
        """Note a mistake at ``line`` (from 1)."""
        self.found.append(Problem(file=self.file, line=line, key=key, message=message))

    def raise_if_any(self) -> None:
        """Tell them all.

        Raises:
            ConfigError: there are some.
        """
        if self.found:
            raise ConfigError(sorted(self.found, key=lambda problem: problem.line))


class Node:
    """One value of the file: where it stands, and readers that note a mistake and return None for a wrong one."""

    def __init__(self, node: yaml.Node, key: str, problems: Problems) -> None:
        self._node = node
        self.key = key
        self.problems = problems
        self.line = node.start_mark.line + 1

    def wrong(self, message: str) -> None:
        """Note a mistake here."""
        self.problems.add(self.line, self.key, message)

    @property
    def is_null(self) -> bool:
        """Whether it is ``null`` or empty."""
        return bool(self._node.tag == "tag:yaml.org,2002:null")

    @property
    def is_scalar(self) -> bool:
        """Whether it is a single value."""
        return isinstance(self._node, yaml.ScalarNode)

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self._node, yaml.SequenceNode)

    def path(self) -> Path | None:
        """Return an absolute path; ``~`` is the home directory."""
        text = self.text(what="a path")
        try:
            path = Path(text).expanduser() if text is not None else None
        except RuntimeError:
            self.wrong(f"{text!r} names a home directory that this host does not know")
            return None
        if path is not None and not path.is_absolute():
            self.wrong(f"{text!r} must be an absolute path (or begin with ~)")
            return None
        return path

    def text(self, *, what: str = "a text", empty: bool = False) -> str | None:
        """Return a scalar as written; an empty one only where ``empty`` says so."""
        if not isinstance(self._node, yaml.ScalarNode) or self.is_null:
            self.wrong(f"must be {what}, not {self._kind()}")
            return None
        if _UNUSABLE.search(self._node.value):
            self.wrong(f"{self._node.value!r} has a character that no text may have")
            return None
        if not self._node.value and not empty:
            self.wrong(f"must be {what}, not empty")
            return None
        return str(self._node.value)

    def matching(self, pattern: re.Pattern[str], what: str) -> str | None:
        """Return a scalar that fits ``pattern`` as a whole."""
        text = self.text(what=what)
        if text is not None and not pattern.fullmatch(text):
            self.wrong(f"{text!r} is not {what}")
            return None
        return text

    def one_of(self, *choices: str) -> str | None:
        """Return one of a few words."""
        text = self.text(what=f"one of {', '.join(choices)}")
        if text is not None and text not in choices:
            self.wrong(f"must be one of {', '.join(choices)}{_did_you_mean(text, choices)}, not {text!r}")
            return None
        return text

    def boolean(self) -> bool | None:
        """Return true or false."""
        text = self.one_of("true", "false")
        return None if text is None else text == "true"

    def whole(self, low: int, high: int) -> int | None:
        """Return a whole number within bounds."""
        what = f"a whole number from {low} to {high}"
        text = self.text(what=what)
        if text is None:
            return None
        if not re.fullmatch(r"\d{1,9}", text) or not low <= int(text) <= high:
            self.wrong(f"must be {what}, not {text!r}")
            return None
        return int(text)

    def duration(self, low: timedelta, high: timedelta, *, fractions: bool = False) -> timedelta | None:
        """Return a duration: ``90s``, ``15m``, ``1h30m`` or a number of seconds; parts of one where ``fractions``."""
        text = self.text(what="a duration such as 90s, 15m or 1h30m")
        if text is None:
            return None
        value = parse_duration(text)
        if value is None or (value.microseconds and not fractions):
            known = "800ms, " * fractions + "90s, 15m, 1h30m or a number of seconds"
            self.wrong(f"{text!r} is not a duration: write {known}")
        elif not low <= value <= high:
            self.wrong(f"{text} is not between {format_duration(low)} and {format_duration(high)}")
        else:
            return value
        return None

    def items(self) -> list[Node]:
        """Return the entries of a list."""
        if not isinstance(self._node, yaml.SequenceNode):
            self.wrong(f"must be a list, not {self._kind()}")
            return []
        return [Node(item, f"{self.key}[{number}]", self.problems) for number, item in enumerate(self._node.value)]

    def mapping(self) -> dict[str, Node]:
        """Return the entries of a mapping; a key that stands twice is a mistake."""
        if not isinstance(self._node, yaml.MappingNode):
            self.wrong(f"must be a mapping (key: value), not {self._kind()}")
            return {}
        entries: dict[str, Node] = {}
        for key_node, value_node in self._node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            path = f"{self.key}.{key}" if self.key else key
            value = Node(value_node, path, self.problems)
            if key == "<<" or not isinstance(key_node, yaml.ScalarNode):
                self.problems.add(key_node.start_mark.line + 1, path, "a key must be plain text")
            elif key in entries:
                first = entries[key].line
                self.problems.add(key_node.start_mark.line + 1, path, f"stands twice (first at line {first})")
            else:
                value.line = key_node.start_mark.line + 1
                entries[key] = value
        return entries

    def section(
        self, *known: str, later: tuple[str, ...] = (), elsewhere: Mapping[str, str] = NOWHERE
    ) -> dict[str, Node]:
        """Return a mapping's known entries.

        Args:
            known: keys that mean something here.
            later: keys of the documented surface that this version does not serve yet; an error, never ignored.
            elsewhere: keys that people look for here, and what to write instead.
        """
        entries = self.mapping()
        for key in [key for key in entries if key not in known]:
            node = entries.pop(key)
            if key in later:
                node.wrong("is not supported yet by this version")
            elif key in elsewhere:
                node.wrong(elsewhere[key])
            else:
                node.wrong(f"is not a key{_did_you_mean(key, known)}; known here: {', '.join(known)}")
        return entries

    def plain(self) -> Any:  # noqa: ANN401 - whatever the file holds
        """Return the value as plain data, for free-form parts such as an IAM policy; read as strictly as the rest."""
        if isinstance(self._node, yaml.MappingNode):
            return {key: value.plain() for key, value in self.mapping().items()}
        if isinstance(self._node, yaml.SequenceNode):
            return [item.plain() for item in self.items()]
        try:
            return yaml.constructor.SafeConstructor().construct_document(self._node)
        except (yaml.YAMLError, ValueError, OverflowError, LookupError):
            self.wrong(f"{self._node.value!r} is not a value that YAML knows: quote it")
            return None

    def _kind(self) -> str:
        if self.is_null:
            return "empty"
        if isinstance(self._node, yaml.MappingNode):
            return "a mapping"
        return "a list" if isinstance(self._node, yaml.SequenceNode) else "a single value"


def read(path: Path) -> Node:
    """Return the file's root.

    Raises:
        ConfigError: it cannot be read, anyone may change it, or it is not one YAML document.
    """
    problems = Problems(str(path))
    try:
        if path.stat().st_mode & 0o002:
            problems.add(0, "", f"everybody may change it: chmod o-w {path}")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        problems.add(0, "", f"cannot be read: {error.strerror or error}")
        content = b""
    if len(content) > MAX_BYTES:
        problems.add(0, "", f"is larger than {MAX_BYTES // 1024} KiB")
    problems.raise_if_any()
    return parse(content, problems)


def parse(content: bytes, problems: Problems) -> Node:
    """Return the root of a document.

    Raises:
        ConfigError: it is not one YAML document of plain nesting.
    """
    try:
        documents = list(yaml.compose_all(content, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.add(mark.line + 1 if mark else 0, "", f"is not YAML: {error.problem}")
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        problems.add(0, "", f"is not YAML: {(str(error) or type(error).__name__).splitlines()[0]}")
    else:
        if len(documents) > 1:
            problems.add(documents[1].start_mark.line + 1, "", "a second YAML document (---): only one is read")
        elif not documents or documents[0] is None:
            problems.add(0, "", "is empty: see config.example.yaml")
        elif (line := _too_deep(documents[0])) is not None:
            problems.add(line, "", "is nested too deeply, or refers to itself")
        elif _expanded(documents[0], {}) > MAX_NODES:
            problems.add(documents[0].start_mark.line + 1, "", "has too many values, with aliases (*name) written out")
        else:
            return Node(documents[0], "", problems)
    problems.raise_if_any()
    raise AssertionError("one of the branches above found a problem")


def _did_you_mean(word: str, choices: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, choices, n=1)
    return f": did you mean {close[0]}?" if close else ""


def _too_deep(root: yaml.Node) -> int | None:
    """Return the line where nesting exceeds ``MAX_DEPTH``: anchors may make a node its own descendant."""
    level: list[yaml.Node] = [root]
    for _ in range(MAX_DEPTH):
        level = list({id(child): child for node in level for child in _children(node)}.values())
        if not level:
            return None
    return int(level[0].start_mark.line) + 1


def _expanded(node: yaml.Node, known: dict[int, int]) -> int:
    """Return how many values a node holds with its aliases written out, which may be far more than the file has."""
    if id(node) not in known:
        known[id(node)] = 1 + sum(_expanded(child, known) for child in _children(node))
    return known[id(node)]


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
