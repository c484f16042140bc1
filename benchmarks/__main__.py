"""``python -m benchmarks``: measure everything and print a table; ``make bench`` runs it."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from time import monotonic
from typing import TYPE_CHECKING

from benchmarks import callers, report, serving, starting, waiting
from benchmarks.world import EVENT_LOOPS, FULL, QUICK, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.report import Figure

PARTS = ("starting", "serving", "callers", "waiting")


def measure(world: World, parts: list[str]) -> Iterator[Figure]:
    """Yield every figure of ``parts`` as soon as it is there; an idle daemon waits beside them."""
    event_loops = [name for name in EVENT_LOOPS if name == "asyncio" or importlib.util.find_spec(name)]
    if "waiting" in parts:
        yield from waiting.figures(world, "stub")
        if world.effort is FULL:
            yield from waiting.figures(world, "sts")
    if "starting" in parts:
        yield from starting.figures(world, event_loops)
    if "callers" in parts:
        yield from callers.figures(world)
    if "serving" in parts:
        for event_loop in event_loops:
            yield from serving.figures(world, event_loop)


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"only these of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="under a minute, for a look; the full run takes five")
    parser.add_argument("--json", action="store_true", help="for programs")
    arguments = parser.parse_args()
    parts = arguments.parts or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    began = monotonic()
    figures: list[Figure] = []
    with World(QUICK if arguments.quick else FULL) as world, waiting.Idle(world) as idle:
        for figure in measure(world, parts):
            figures.append(figure)
            print(f"{monotonic() - began:5.0f} s  {figure.name}", file=sys.stderr)
        if "waiting" in parts:
            figures += idle.figures()
    seconds = monotonic() - began
    if arguments.json:
        print(report.to_json(figures, seconds))
        return 0
    print("\n".join(f"{name}: {value}" for name, value in report.machine().items()))
    print(f"\n{report.table(figures)}\n")
    goals = sum(figure.met is not None for figure in figures)
    print(f"{len(report.missed(figures))} of {goals} goals missed; {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
