"""Figures, goals, and how they are told."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a figure should be.

    Attributes:
        mark: ``P1`` to ``P10``, or ``bar``.
        sense: ``<=`` or ``>=``.
        bound: the limit.
        of: what is held against it: ``ratio``, ``ours``, or ``difference`` (ours less the reference).
    """

    mark: str
    sense: str
    bound: float
    of: str = "ratio"

    def __str__(self) -> str:
        of = {"ratio": " times", "ours": "", "difference": " more"}[self.of]
        return f"{self.mark}: {'≤' if self.sense == '<=' else '≥'} {self.bound:g}{of}"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured thing.

    Attributes:
        name: what was measured.
        unit: of ``ours`` and ``reference``.
        ours: the daemon's.
        reference: the same thing of ``against``, measured in turn; None where there is nothing to compare with.
        against: the reference's name.
        paired: the ratio, where it is the median over rounds rather than ours / reference.
        others: further ratios, by the name of what ours is compared with.
        goal: None where none applies.
    """

    name: str
    unit: str
    ours: float
    reference: float | None = None
    against: str = ""
    paired: float | None = None
    others: dict[str, float] = field(default_factory=dict)
    goal: Goal | None = None

    @property
    def ratio(self) -> float | None:
        """Ours against the reference; None without one."""
        if self.paired is not None:
            return self.paired
        return self.ours / self.reference if self.reference else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is no goal or nothing to hold against it."""
        if self.goal is None:
            return None
        difference = None if self.reference is None else self.ours - self.reference
        value = {"ratio": self.ratio, "ours": self.ours, "difference": difference}[self.goal.of]
        if value is None or math.isnan(value):
            return None
        return value <= self.goal.bound if self.goal.sense == "<=" else value >= self.goal.bound

    def to_json(self) -> dict[str, object]:
        """Return it as JSON values."""
        return {
            "figure": self.name,
            "unit": self.unit,
            "ours": self.ours,
            "reference": self.reference,
            "against": self.against or None,
            "ratio": self.ratio,
            "others": self.others,
            "goal": str(self.goal) if self.goal else None,
            "met": self.met,
        }


def percentile(values: list[float], percent: float) -> float:
    """Return the value below which ``percent`` of ``values`` lie (nearest rank); NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def compare(rounds: dict[str, list[float]], ours: str) -> dict[str, tuple[float, float]]:
    """Return of every server its median, and the median over rounds of the ratio of ``ours`` to it.

    A ratio is taken within a round, where both met the same noise.
    """
    compared = {}
    for name, values in rounds.items():
        ratios = [mine / other for mine, other in zip(rounds[ours], values, strict=True) if other]
        compared[name] = (statistics.median(values), statistics.median(ratios) if ratios else math.nan)
    return compared


def table(figures: list[Figure]) -> str:
    """Return ``figures`` as a Markdown table with aligned columns."""
    head = ("figure", "ours", "reference", "ratio", "goal", "met", "also, ours to")
    rows = [head, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def missed(figures: list[Figure]) -> list[Figure]:
    """Return those whose goal is not reached."""
    return [figure for figure in figures if figure.met is False]


def machine() -> dict[str, str]:
    """Return what the figures depend on."""
    processor = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    names = ("imds-server", "aiohttp", "boto3", "uvloop")
    return {
        "processor": f"{processor}, {os.cpu_count()} of them, one used",
        "kernel": platform.release(),
        "Python": platform.python_version(),
        **{name: _version(name) for name in names},
    }


def to_json(figures: list[Figure], seconds: float) -> str:
    """Return a whole run for programs."""
    run = {"machine": machine(), "seconds": round(seconds, 1), "figures": [figure.to_json() for figure in figures]}
    return json.dumps(run, indent=2)


def _row(figure: Figure) -> tuple[str, ...]:
    met = {True: "yes", False: "**no**", None: ""}[figure.met]
    reference = "" if figure.reference is None else f"{_number(figure.reference)} {figure.against}"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    others = ", ".join(f"{name} {value:.2f}" for name, value in figure.others.items())
    goal = str(figure.goal) if figure.goal else ""
    return (figure.name, f"{_number(figure.ours)} {figure.unit}".strip(), reference, ratio, goal, met, others)


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
