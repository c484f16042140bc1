"""Runs the rules, one after the other: each is asked of an endpoint that is not busy with another."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

from imds.conformance.rule import MUST, BrokenError, SkippedError
from imds.conformance.target import FORBIDDEN, META_DATA, OK
from imds.conformance.wire import NoAnswerError
from imds.core.callers import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imds.conformance.rule import Rule
    from imds.conformance.target import Target

PASS, FAIL, SKIP = "pass", "fail", "skip"

LONGEST_RULE: Final = 20.0
"""Seconds that a rule may go on asking."""

LONGEST_SLOW_RULE: Final = 60.0
MOST_LATE: Final = 3
"""Rules in a row without an answer, after which nobody is there any more."""


class UnreachableError(Exception):
    """There is nothing to ask; says why, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a rule; no text of it has a secret in it.

    Attributes:
        outcome: ``pass``, ``fail`` or ``skip``.
        seen: what the endpoint did, or why nothing was looked at.
        expected: what it should have done.
        seconds: it took.
    """

    rule: Rule
    outcome: str
    seen: str = ""
    expected: str = ""
    seconds: float = 0.0

    @property
    def breaks(self) -> bool:
        """Whether a rule does not hold that has to."""
        return self.outcome == FAIL and self.rule.level == MUST


def reach(target: Target) -> None:
    """Look whether something answers that may be a metadata service.

    Raises:
        UnreachableError: nothing does.
    """
    try:
        opened = target.request("GET", META_DATA)
        token = target.put_token()
    except NoAnswerError as error:
        raise UnreachableError(str(error)) from error
    if opened.status == token.status == FORBIDDEN:
        raise UnreachableError(
            "403 to a token request and to a GET: it is off (http_endpoint: disabled), or refuses this caller"
        )
    _prepare(target)


def _prepare(target: Target) -> None:
    """Learn what is secret before anything is shown."""
    try:
        if target.roles.status == OK:
            _ = target.document
        if target.container is not None:
            token = {"Authorization": target.container.token} if target.container.token else {}
            headers = {"Host": target.container.endpoint.authority, **token}
            target.ask(target.container.endpoint, "GET", target.container.path, headers)
    except (NoAnswerError, SkippedError):
        return  # a rule says so


def run(target: Target, rules: Iterable[Rule], *, slow: bool = False) -> Iterator[Result]:
    """Yield what becomes of each rule.

    Args:
        target: the endpoint.
        rules: to look at, in this order.
        slow: whether those that wait for time to pass are looked at too.
    """
    late = 0
    for rule in rules:
        if rule.slow and not slow:
            yield Result(rule=rule, outcome=SKIP, seen="it waits for time to pass (--slow)")
        elif late >= MOST_LATE:
            yield Result(rule=rule, outcome=FAIL, seen="not asked: it has ceased to answer", expected="an answer")
        else:
            result, in_time = _look(target, rule)
            late = 0 if in_time else late + 1
            yield result


def _look(target: Target, rule: Rule) -> tuple[Result, bool]:
    """Return what becomes of a rule, and whether there were answers."""
    began = monotonic()
    target.until = began + (LONGEST_SLOW_RULE if rule.slow else LONGEST_RULE)
    outcome, seen, expected, in_time = PASS, "", "", True
    try:
        rule.check(target)
    except SkippedError as error:
        outcome, seen = SKIP, str(error)
    except BrokenError as error:
        outcome, seen, expected = FAIL, error.seen, error.expected
    except NoAnswerError as error:
        outcome, seen, expected, in_time = FAIL, str(error), "an answer", not error.late
    except Exception as error:  # noqa: BLE001 - an endpoint may send anything: what trips a rule up does not conform
        outcome, seen, expected = FAIL, f"an answer that cannot be read ({type(error).__name__})", rule.says
    mask = target.secrets.mask
    result = Result(
        rule=rule,
        outcome=outcome,
        seen=printable(mask(seen)),
        expected=printable(mask(expected)),
        seconds=monotonic() - began,
    )
    return result, in_time
