"""A run's results: for people, as JSON, and as JUnit's XML."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

from imds.conformance.rule import MUST, SHOULD
from imds.conformance.suite import FAIL, PASS, SKIP
from imds.conformance.themes import THEMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from imds.conformance.rule import Rule
    from imds.conformance.suite import Result

GREEN, YELLOW, RED, DIM = "green", "yellow", "red", "bright_black"
WIDTH: Final = 30

_TITLES = {theme.name: theme.title for theme in THEMES}


def lines(
    results: Iterable[Result], *, colour: Callable[[str, str], str] = lambda text, _: text, every: bool = False
) -> Iterator[str]:
    """Yield the report for people.

    Args:
        results: of a run, theme by theme.
        colour: gives a text a colour.
        every: whether rules that hold and that were left out are told too.
    """
    for theme, group in groupby(results, key=lambda result: result.rule.theme):
        of_theme = list(group)
        yield f"{_TITLES[theme]}: {_counted(of_theme)}"
        for result in of_theme:
            if every or result.outcome == FAIL:
                yield from _told(result, colour)


def _told(result: Result, colour: Callable[[str, str], str]) -> Iterator[str]:
    rule = result.rule
    word = {PASS: "ok", SKIP: "skip", FAIL: "FAIL" if rule.level == MUST else "differs"}[result.outcome]
    hue = {PASS: GREEN, SKIP: DIM, FAIL: RED if rule.level == MUST else YELLOW}[result.outcome]
    yield f"  {colour(f'{word:8}', hue)}{rule.id:{WIDTH}} {rule.level}: {rule.says}"
    if result.outcome == FAIL:
        yield f"          seen      {result.seen}"
        yield f"          expected  {result.expected}"
        yield f"          source    {rule.source}"
    elif result.outcome == SKIP:
        yield f"          because   {result.seen}"


def summary(results: Sequence[Result]) -> str:
    """Return how a run went, in a line."""
    return f"{len(results)} rules: {_counted(results)}"


def _counted(results: Sequence[Result]) -> str:
    held = sum(result.outcome == PASS for result in results)
    skipped = sum(result.outcome == SKIP for result in results)
    broken = sum(result.breaks for result in results)
    differ = sum(result.outcome == FAIL for result in results) - broken
    parts = [f"{held} hold"]
    parts += [f"{broken} of what must hold {'does' if broken == 1 else 'do'} not"] if broken else []
    parts += [f"{differ} of what should hold {'does' if differ == 1 else 'do'} not"] if differ else []
    parts += [f"{skipped} not looked at"] if skipped else []
    return ", ".join(parts)


def listed(rules: Iterable[Rule]) -> Iterator[str]:
    """Yield the rules for people."""
    for theme, group in groupby(rules, key=lambda rule: rule.theme):
        yield _TITLES[theme]
        for rule in group:
            yield f"  {rule.id:{WIDTH}} {rule.level:6}  {rule.says}"


def rule_fields(rule: Rule) -> dict[str, Any]:
    """Return a rule for programs."""
    return {"id": rule.id, "theme": rule.theme, "level": rule.level, "says": rule.says, "source": rule.source}


def as_json(url: str, results: Sequence[Result]) -> dict[str, Any]:
    """Return a run for programs."""
    return {
        "url": url,
        "conforms": not any(result.breaks for result in results),
        "counts": {outcome: sum(result.outcome == outcome for result in results) for outcome in (PASS, FAIL, SKIP)},
        "rules": [
            {
                **rule_fields(result.rule),
                "outcome": result.outcome,
                "seen": result.seen,
                "expected": result.expected,
                "seconds": round(result.seconds, 3),
            }
            for result in results
        ],
    }


def as_junit(url: str, results: Sequence[Result], *, strict: bool) -> bytes:
    """Return a run as JUnit's XML: a suite for each theme; what only should hold fails where ``strict``."""
    root = ET.Element("testsuites", name=f"imds conformance {url}")
    for theme, group in groupby(results, key=lambda result: result.rule.theme):
        of_theme = list(group)
        fails = [result.breaks or (strict and result.outcome == FAIL) for result in of_theme]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=theme,
            tests=str(len(of_theme)),
            failures=str(sum(fails)),
            errors="0",
            skipped=str(sum(result.outcome != PASS for result in of_theme) - sum(fails)),
            time=f"{sum(result.seconds for result in of_theme):.3f}",
        )
        for result, failing in zip(of_theme, fails, strict=True):
            _case(suite, result, failing=failing)
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _case(suite: ET.Element, result: Result, *, failing: bool) -> None:
    rule = result.rule
    case = ET.SubElement(
        suite, "testcase", classname=f"imds.conformance.{rule.theme}", name=rule.id, time=f"{result.seconds:.3f}"
    )
    if failing:
        failure = ET.SubElement(case, "failure", message=result.seen, type=rule.level)
        failure.text = f"{rule.says}\nseen: {result.seen}\nexpected: {result.expected}\nsource: {rule.source}"
    elif result.outcome == FAIL:
        ET.SubElement(case, "skipped", message=f"{SHOULD} hold and does not: {result.seen}")
    elif result.outcome == SKIP:
        ET.SubElement(case, "skipped", message=result.seen)
