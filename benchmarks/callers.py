"""What it costs to know the caller and to decide, as a share of a cycle's processor time."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import statistics
from contextlib import ExitStack, contextmanager
from time import perf_counter, thread_time
from typing import TYPE_CHECKING

from benchmarks import load
from benchmarks.report import Figure, Goal
from benchmarks.world import ROLE
from imds.config.callers import this_user_only
from imds.core.policy import decide
from imds.host.callers import Callers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.world import World

TIMES = 2000
CONNECTIONS = 3
"""In a cycle; each is looked up once."""


HERD, PROCESSES, FILES = 200, 200, 60
STRANGER = 54321


class _Accepted:
    """As much of a transport as the look-up asks for."""

    def __init__(self, accepted: socket.socket) -> None:
        self._known = {"peername": accepted.getpeername(), "sockname": accepted.getsockname()}

    def get_extra_info(self, name: str):
        return self._known[name]


def figures(world: World) -> Iterator[Figure]:
    """Yield them."""
    rules = this_user_only(os.getuid())
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            callers = Callers()
            transport = _Accepted(accepted)
            identify = _cost(lambda: callers.arrive(transport))
            caller = callers.arrive(transport).caller
            deciding = _cost(lambda: decide(caller, rules))
            callers.close()
    with _crowd() as accepted:
        alone, herd = asyncio.run(_look_ups(accepted))
    yield Figure(
        name=f"{HERD} connections of a user with {PROCESSES} processes of {FILES} files, who is looked up",
        unit="ms",
        ours=herd,
        reference=alone,
        against="one connection",
    )
    cycles, unrecorded = _cycle(world, audit=True), _cycle(world, audit=False)
    yield Figure(
        name="caller and policy, processor time of a cycle",
        unit="ms",
        ours=(identify + deciding) * CONNECTIONS,
        reference=cycles,
        against="whole cycle",
        others={"one look-up, µs": identify * 1000, "one decision, µs": deciding * 1000},
        goal=Goal(mark="P9", sense="<=", bound=0.05),
    )

    yield Figure(
        name="cycle with every answer on record, processor time",
        unit="ms",
        ours=cycles,
        reference=unrecorded,
        against="audit_log: none",
    )


@contextmanager
def _crowd() -> Iterator[list[_Accepted]]:
    """Have a user with many processes, one of which connects many times; yield what was accepted."""
    children = [_child(_open_files) for _ in range(PROCESSES)]
    with socket.create_server(("127.0.0.1", 0), backlog=HERD) as listener, ExitStack() as stack:
        children.append(_child(lambda: [socket.create_connection(listener.getsockname()) for _ in range(HERD)]))
        try:
            yield [_Accepted(stack.enter_context(listener.accept()[0])) for _ in range(HERD)]
        finally:
            for pid in children:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _child(hold) -> int:
    """Return a process that holds what ``hold`` returns until it is killed; as another user where we may."""
    pid = os.fork()
    if not pid:
        try:
            if os.getuid() == 0:
                os.setuid(STRANGER)
            held = hold()
            while held:
                signal.pause()
        finally:
            os._exit(1)
    return pid


def _open_files() -> list[int]:
    return [os.open(os.devnull, os.O_RDONLY) for _ in range(FILES)]


async def _look_ups(accepted: list[_Accepted]) -> tuple[float, float]:
    """Return how many milliseconds one look-up takes, and all of them at once."""
    callers = Callers()
    arrivals = [callers.arrive(one) for one in accepted]
    times = []
    for looked_up in (arrivals[:1], arrivals):
        began = perf_counter()
        found = await asyncio.gather(*(callers.look_up(arrival, arrival.caller) for arrival in looked_up))
        times.append((perf_counter() - began) * 1000)
        assert all(caller.process for caller in found)
    callers.close()
    return times[0], times[1]


def _cycle(world: World, *, audit: bool) -> float:
    """Return the processor time of a cycle in milliseconds."""
    with world.daemon(audit=audit) as daemon:
        world.await_credentials(daemon)
        seconds = world.effort.seconds
        runs = range(world.effort.rounds)
        return statistics.median(
            world.generator.run(daemon, load.cycle(ROLE), "cycle", 16, seconds=seconds)["cpu"] for _ in runs
        )


def _cost(call) -> float:
    """Return the processor time of one call in milliseconds: the median of five runs."""
    runs = []
    for _ in range(5):
        began = thread_time()
        for _ in range(TIMES):
            call()
        runs.append((thread_time() - began) * 1000 / TIMES)
    return statistics.median(runs)
