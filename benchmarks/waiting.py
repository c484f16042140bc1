"""Figures of a daemon that waits, and of one whose thousand roles fall due at once."""

from __future__ import annotations

import contextlib
import json
from time import monotonic, sleep
from typing import TYPE_CHECKING

from benchmarks import load
from benchmarks.processes import Server, free_port
from benchmarks.report import Figure, Goal
from benchmarks.world import ROLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.world import World

IDLE_ROLES = 100
MANY = 1000
SETTLED = 3.0
"""Seconds after which a daemon that was just started does nothing any more."""


class Idle:
    """A daemon with a hundred roles that nobody asks; it waits while other things are measured."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        self._daemon = self._stack.enter_context(self._world.daemon(roles=IDLE_ROLES))
        self._world.await_credentials(self._daemon)
        sleep(SETTLED)
        self._before, self._since = self._look(), monotonic()
        return self

    def __exit__(self, *_) -> None:
        self._stack.close()

    def figures(self) -> Iterator[Figure]:
        """Yield what it did since."""
        sleep(max(0.0, self._world.effort.idle - (monotonic() - self._since)))
        seconds = monotonic() - self._since
        switches, cpu = (after - before for after, before in zip(self._look(), self._before, strict=True))
        name = f"idle with {IDLE_ROLES} roles for {seconds:.0f} s"
        yield Figure(
            name=f"{name}: context switches",
            unit="/s",
            ours=switches / seconds,
            goal=Goal(mark="P8", sense="<=", bound=0.1, of="ours"),
        )
        yield Figure(name=f"{name}: wake-ups a minute", unit="/min", ours=switches / seconds * 60)
        yield Figure(name=f"{name}: processor time", unit="%", ours=cpu / seconds * 100)

    def _look(self) -> tuple[float, float]:
        return self._daemon.switches, self._daemon.cpu


def figures(world: World, issuer: str) -> Iterator[Figure]:
    """Yield those of many roles; ``issuer`` is ``stub`` or ``sts``."""
    due_after, busy = (6.0, 1.5) if issuer == "stub" else (25.0, 8.0)
    with _many(world, 1, issuer, due_after) as (one, _):
        rss_of_one = one.rss
    calls = world.sts.calls
    with _many(world, MANY, issuer, due_after) as (daemon, told):
        rss = daemon.rss
        name = f"{MANY:,} roles, {'sessions at once' if issuer == 'stub' else 'sessions from STS'}"
        quiet_for = max(0.5, told["due_in"] - (monotonic() - told["at"]) - 1.0)
        quiet = world.generator.run(daemon, load.cycle(ROLE), "cycle", 1, seconds=min(quiet_for, busy))
        sleep(max(0.0, told["due_in"] - (monotonic() - told["at"]) - 0.3))
        due = world.generator.run(daemon, load.cycle(ROLE), "cycle", 1, seconds=busy)
    if issuer == "stub":
        set_up = Goal(mark="P7", sense="<=", bound=30, of="ours")
        yield Figure(name=f"{MANY:,} roles: set-up", unit="ms", ours=told["set_up"] * 1000, goal=set_up)
        memory = Goal(mark="P7", sense="<=", bound=3, of="ours")
        each = (rss - rss_of_one) * 1024 / (MANY - 1)
        yield Figure(name=f"{MANY:,} roles: memory of each", unit="kB", ours=each, goal=memory)
    else:
        goal = Goal(mark="P7", sense="<=", bound=2, of="ours")
        yield Figure(
            name=f"{name}: STS calls of each in two periods", unit="", ours=(world.sts.calls - calls) / MANY, goal=goal
        )
    against = "before"
    stall = Goal(mark="P7", sense="<=", bound=10, of="difference") if issuer == "stub" else None
    yield Figure(
        name=f"{name}, all due: worst cycle",
        unit="ms",
        ours=due["worst"],
        reference=quiet["worst"],
        against=against,
        goal=stall,
    )
    worst = Goal(mark="P10", sense="<=", bound=100, of="ours")
    yield Figure(
        name=f"{name}, all due: worst cycle, likewise",
        unit="ms",
        ours=due["worst"],
        reference=quiet["worst"],
        against=against,
        goal=worst,
    )
    usual = Goal(mark="P10", sense="<=", bound=3, of="ours")
    yield Figure(
        name=f"{name}, all due: p99", unit="ms", ours=due["p99"], reference=quiet["p99"], against=against, goal=usual
    )


@contextlib.contextmanager
def _many(world: World, roles: int, issuer: str, due_after: float):
    """Run ``many_roles``; give its process and what it said."""
    port = free_port()
    arguments = ("--config", str(world.config(roles)), "--port", str(port), "--due", str(due_after), "--issuer", issuer)
    server = Server("-m", "benchmarks.many_roles", *arguments, port=port, environment=world.environment, piped=True)
    with server:
        told = json.loads(server.line())
        told["at"] = monotonic()
        if told["tried"] < roles:
            raise RuntimeError(f"{told['tried']} of {roles} roles have a session")
        yield server, told
