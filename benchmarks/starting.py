"""Figures of a start: listening, first credential, what the command line imports, memory."""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import load
from benchmarks.processes import Process, wall
from benchmarks.report import Figure, Goal
from benchmarks.world import ROLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.world import World

HEAVY = ("aiohttp", "asyncio", "boto3", "botocore", "uvloop", "yaml")
AIOHTTP_IMPORT = "from aiohttp import web"
ONE_CLIENT = """\
from aiohttp import web
import boto3, sys
client = boto3.client("sts", region_name="eu-west-1", aws_access_key_id="AKIA", aws_secret_access_key="made-up")
client.assume_role(RoleArn="arn:aws:iam::111122223333:role/app", RoleSessionName="bench")
print(flush=True)
sys.stdin.read()
"""


def figures(world: World, event_loops: list[str]) -> Iterator[Figure]:
    """Yield them all."""
    answers = _answers(world)
    for event_loop in event_loops:
        yield from _first_token(world, event_loop)
    yield from _first_credential(world, answers)
    yield from _imports(world)
    yield from _memory(world, event_loops)


def _first_token(world: World, event_loop: str) -> Iterator[Figure]:
    put = load.PUT
    ours, reference = [], []
    for _ in range(world.effort.starts):
        reference.append(wall("-c", AIOHTTP_IMPORT) * 1000)
        with world.daemon(event_loop=event_loop) as daemon:
            ours.append(daemon.first(put) * 1000)
    name = f"start to first token, {event_loop}"
    told = {"unit": "ms", "ours": median(ours), "reference": median(reference), "against": "import of aiohttp.web"}
    yield Figure(name=name, **told, goal=Goal(mark="bar", sense="<=", bound=150, of="difference"))
    yield Figure(name=f"{name}, likewise", **told, goal=Goal(mark="P5", sense="<=", bound=1.2))


def _first_credential(world: World, answers: Path) -> Iterator[Figure]:
    ours, reference = [], []
    for _ in range(world.effort.starts):
        with world.reference("eager", answers) as eager:
            reference.append(world.await_credentials(eager) * 1000)
        with world.daemon() as daemon:
            ours.append(world.await_credentials(daemon) * 1000)
    yield Figure(
        name="start to first credential",
        unit="ms",
        ours=median(ours),
        reference=median(reference),
        against="boto3 first, then listening",
        goal=Goal(mark="P5", sense="<=", bound=1),
    )


def _imports(world: World) -> Iterator[Figure]:
    ours, reference = [], []
    for _ in range(world.effort.starts):
        reference.append(wall("-c", "pass") * 1000)
        ours.append(wall("-c", "import imds.cli") * 1000)
    yield Figure(
        name="import of imds.cli",
        unit="ms",
        ours=median(ours),
        reference=median(reference),
        against="python -c pass",
    )
    code = f"import imds.cli, json, sys; print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    yield Figure(
        name=f"of {', '.join(HEAVY)}: imported by imds.cli",
        unit=", ".join(json.loads(printed)),
        ours=len(json.loads(printed)),
        goal=Goal(mark="bar", sense="<=", bound=0, of="ours"),
    )


def _memory(world: World, event_loops: list[str]) -> Iterator[Figure]:
    reference = _rss_of_one_client(world)
    against = "aiohttp.web and one STS client"
    goal = Goal(mark="P6", sense="<=", bound=1.05)
    for event_loop in event_loops:
        with world.daemon(event_loop=event_loop) as daemon:
            world.await_credentials(daemon)
            told = {"unit": "MB", "reference": reference, "against": against, "goal": goal}
            before = daemon.rss
            yield Figure(name=f"resident memory, one role served, {event_loop}", ours=before, **told)
            cycles = world.effort.requests // 3
            world.generator.run(daemon, load.cycle(ROLE), "cycle", 16, seconds=60, count=cycles)
            after = daemon.rss
            yield Figure(name=f"... after {cycles * 3:,} requests, {event_loop}", ours=after, **told)


def _rss_of_one_client(world: World) -> float:
    with subprocess.Popen(
        [sys.executable, "-c", ONE_CLIENT],
        env=world.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        measured = Process()
        measured.pid = process.pid
        rss = measured.rss
        process.stdin.close()
    return rss


def _answers(world: World) -> Path:
    with world.daemon() as daemon:
        world.await_credentials(daemon)
        return world.record(daemon, world.container_request(daemon))
