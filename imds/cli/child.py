"""Runs a child process in our place: signals go to it, its exit status is ours."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from typing import TYPE_CHECKING

from imds.core.errors import ImdsError

if TYPE_CHECKING:
    from collections.abc import Callable

NOT_EXECUTABLE, NOT_FOUND, KILLED = 126, 127, 128
"""Exit statuses, as shells use them."""

FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
FROM_THE_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
"""A terminal sends these to the child itself; without one we pass them on."""


async def run_child(
    arguments: list[str], environment: dict[str, str], *, every: float = 3600.0, do: Callable[[], None] | None = None
) -> int:
    """Run a command to its end and return its exit status, 128 + n when signal n ended it.

    Args:
        arguments: the command.
        environment: all of its variables.
        every: seconds between two calls of ``do``.
        do: keeps the child's access alive; a failure is tried again next time. None where nothing has to.
    """
    loop = asyncio.get_running_loop()
    children: list[asyncio.subprocess.Process] = []
    early: list[int] = []
    terminal = sys.stdin is not None and sys.stdin.isatty()
    for number in (*FORWARDED, *FROM_THE_TERMINAL):
        ignored = terminal and number in FROM_THE_TERMINAL
        loop.add_signal_handler(number, _nothing if ignored else _sender(children, early, number))
    try:
        child = await asyncio.create_subprocess_exec(*arguments, env=environment)
    except FileNotFoundError:
        print(f"imds: {arguments[0]}: command not found", file=sys.stderr)  # noqa: T201 - this is the command line
        return NOT_FOUND
    except OSError as error:
        print(f"imds: {arguments[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201 - likewise
        return NOT_EXECUTABLE
    children.append(child)
    for kept in early:
        _sender(children, early, kept)()
    keeping = asyncio.create_task(_repeat(every, do or _nothing))
    try:
        status = await child.wait()
    finally:
        keeping.cancel()
    return status if status >= 0 else KILLED - status


def _nothing() -> None:
    """Do nothing: the child has the signal already, or its access needs no care."""


def _sender(children: list[asyncio.subprocess.Process], early: list[int], number: int) -> Callable[[], None]:
    """Return what passes a signal on; one that comes before the child is there is kept for it in ``early``."""

    def send() -> None:
        if not children:
            early.append(number)
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(number)

    return send


async def _repeat(every: float, do: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(every)
        with contextlib.suppress(ImdsError):
            await asyncio.to_thread(do)
