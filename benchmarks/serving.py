"""Figures of a daemon that serves: latency, throughput, processor time, herds."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from benchmarks import load
from benchmarks.report import Figure, Goal, compare
from benchmarks.world import AIOHTTP, APP, ASYNCIO, OURS, ROLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.processes import Server
    from benchmarks.world import World

FASTER = Goal(mark="bar", sense=">=", bound=1)
SOONER = Goal(mark="bar", sense="<=", bound=1)
CHEAPER = Goal(mark="P4", sense="<=", bound=0.7)
NONE_LOST = Goal(mark="P2", sense="<=", bound=0, of="ours")

CLIENTS = (1, 16, 64)
HERDS = (500, 1000)
WARM_UP = 0.1


def figures(world: World, event_loop: str) -> Iterator[Figure]:
    """Yield them all for one event loop; ours and the references take turns within every round."""
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(world.daemon(event_loop=event_loop))
        world.await_credentials(ours)
        container = world.container_request(ours)
        answers = world.record(ours, container)
        servers = {OURS: ours}
        for kind in (APP, AIOHTTP, ASYNCIO):
            servers[kind] = stack.enter_context(world.reference(kind, answers, event_loop=event_loop))
            world.await_credentials(servers[kind])
        where = f", {event_loop}"
        for clients in CLIENTS:
            rounds = _rounds(world, servers, load.cycle(ROLE), "cycle", clients)
            yield from _figures(f"cycle, {_count(clients)}{where}", rounds, cpu_goal=CHEAPER if clients == 16 else None)
        rounds = _rounds(world, servers, [container], "kept", 16)
        yield from _figures(f"container credentials kept alive, 16 clients{where}", rounds)
        for clients in HERDS:
            yield from _herd(world, servers, clients, where)


def _rounds(world: World, servers: dict[str, Server], requests: list[str], mode: str, clients: int):
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
    for server in servers.values():
        world.generator.run(server, requests, mode, clients, seconds=WARM_UP)
    for number in range(world.effort.rounds):
        for name in _in_turn(list(servers), number):
            result = world.generator.run(servers[name], requests, mode, clients, seconds=world.effort.seconds)
            measured[name].append(result)
    return measured


def _figures(name: str, rounds: dict[str, list[dict[str, float]]], cpu_goal: Goal | None = None) -> Iterator[Figure]:
    quantities = [
        ("throughput", "rate", "/s", FASTER),
        ("p50", "p50", "ms", SOONER),
        ("p99", "p99", "ms", SOONER),
        ("processor time", "cpu", "ms", cpu_goal),
    ]
    for label, key, unit, goal in quantities:
        yield _figure(f"{name}: {label}", unit, _of(rounds, key), goal)
    failures = sum(_of(rounds, "failures")[OURS])
    if failures:
        yield Figure(name=f"{name}: failures", unit="", ours=failures, goal=NONE_LOST)


def _herd(world: World, servers: dict[str, Server], clients: int, where: str) -> Iterator[Figure]:
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
    for number in range(world.effort.herds):
        for name in _in_turn(list(servers), number):
            rounds[name].append(world.generator.run(servers[name], load.cycle(ROLE), "herd", clients))
    failures = _of(rounds, "failures")
    name = f"herd of {clients:,} cycles at once{where}"
    yield Figure(
        name=f"{name}: failures",
        unit="",
        ours=sum(failures[OURS]),
        reference=sum(failures[APP]),
        against=APP,
        goal=NONE_LOST,
    )
    yield _figure(f"{name}: worst", "ms", _of(rounds, "worst"), SOONER)


def _figure(name: str, unit: str, rounds: dict[str, list[float]], goal: Goal | None) -> Figure:
    compared = compare(rounds, OURS)
    return Figure(
        name=name,
        unit=unit,
        ours=compared[OURS][0],
        reference=compared[APP][0],
        against=APP,
        paired=compared[APP][1],
        others={kind: compared[kind][1] for kind in (AIOHTTP, ASYNCIO)},
        goal=goal,
    )


def _of(rounds: dict[str, list[dict[str, float]]], key: str) -> dict[str, list[float]]:
    return {name: [result[key] for result in results] for name, results in rounds.items()}


def _in_turn(names: list[str], number: int) -> list[str]:
    """Return ``names`` beginning with another one every round, so that nobody always comes first."""
    first = number % len(names)
    return names[first:] + names[:first]


def _count(clients: int) -> str:
    return "1 client" if clients == 1 else f"{clients} clients"
