"""Rules: what has to hold, who says so, and how it is found out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from imds.conformance.target import Target

    Check = Callable[[Target], None]

MUST: Final = "must"
"""AWS documents it, or a client in use fails or is unsafe without it."""

SHOULD: Final = "should"
"""EC2 does so, or it keeps somebody safe whom EC2 leaves alone; no client is known to fail without it."""


class BrokenError(Exception):
    """A rule does not hold.

    Args:
        seen: what the endpoint did.
        expected: what it should have done.
    """

    def __init__(self, seen: str, expected: str) -> None:
        super().__init__(seen)
        self.seen = seen
        self.expected = expected


class SkippedError(Exception):
    """A rule cannot be looked at here; says why."""


def require(holds: object, seen: object, expected: str) -> None:
    """Go on where something holds.

    Raises:
        BrokenError: it does not.
    """
    if not holds:
        raise BrokenError(str(seen), expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule.

    Attributes:
        id: lower case, words joined by ``-``.
        theme: the group of the report that it is in.
        level: ``must`` or ``should``.
        says: what holds, in one sentence.
        source: a page of AWS's, a client's file, a capture of EC2.
        check: returns where it holds; raises ``BrokenError`` or ``SkippedError`` elsewhere.
        slow: whether it waits for time to pass.
    """

    id: str
    theme: str
    level: str
    says: str
    source: str
    check: Check = field(repr=False)
    slow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """A group of rules.

    Attributes:
        name: one word.
        title: for people.
        rules: in the order in which they are asked.
    """

    name: str
    title: str
    rules: list[Rule] = field(default_factory=list)

    def must(self, rule_id: str, says: str, source: str, *, slow: bool = False) -> Callable[[Check], Check]:
        """Add a rule that has to hold, with the function below it as its check."""
        return self._add(rule_id, MUST, says, source, slow=slow)

    def should(self, rule_id: str, says: str, source: str, *, slow: bool = False) -> Callable[[Check], Check]:
        """Add a rule that had better hold."""
        return self._add(rule_id, SHOULD, says, source, slow=slow)

    def _add(self, rule_id: str, level: str, says: str, source: str, *, slow: bool) -> Callable[[Check], Check]:
        def add(check: Check) -> Check:
            rule = Rule(id=rule_id, theme=self.name, level=level, says=says, source=source, check=check, slow=slow)
            self.rules.append(rule)
            return check

        return add
