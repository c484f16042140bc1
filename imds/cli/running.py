"""Runs a daemon in this process: event loop, signals, what it says at the start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imds.cli.options import fail
from imds.core.errors import ConfigError, ImdsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from imds.config.schema import Config
    from imds.core.schedule import Schedule
    from imds.daemon import Daemon
    from imds.daemon.surroundings import Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run.

    Attributes:
        load: reads the configuration.
        surroundings: where the daemon runs.
        announce: called with the daemon once it is ready.
        schedule: when sessions are renewed; None means as usual.
    """

    load: Callable[[], Config]
    surroundings: Callable[[Config], Surroundings]
    announce: Callable[[Daemon], None]
    schedule: Schedule | None = None


def run(plan: Plan) -> None:
    """Run a daemon until SIGTERM or SIGINT; ends the process with a status where it cannot run."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(plan))
    except ImdsError as error:
        fail(error)


def leave(status: int = 0) -> None:
    """End the process at once if AWS calls are still under way: their threads would hold it up for seconds."""
    sys.stdout.flush()
    sys.stderr.flush()
    if any(thread.name.startswith(("aws", "sessions")) for thread in threading.enumerate()):
        os._exit(status)


async def _run(plan: Plan) -> None:
    from imds.daemon import Daemon  # noqa: PLC0415 - aiohttp is slow to import: not before it is needed

    config = plan.load()
    keywords: dict[str, Any] = {"schedule": plan.schedule} if plan.schedule else {}
    daemon = Daemon(load=plan.load, surroundings=plan.surroundings(config), **keywords)
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(_reload(daemon))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
    loop.add_signal_handler(signal.SIGHUP, reload)
    announcing = loop.create_task(_announce(daemon, plan.announce))
    try:
        await daemon.run()
    finally:
        announcing.cancel()


async def _announce(daemon: Daemon, announce: Callable[[Daemon], None]) -> None:
    await daemon.ready.wait()
    announce(daemon)


async def _reload(daemon: Daemon) -> None:
    with contextlib.suppress(ConfigError):  # told in the log, and by imds status
        await daemon.reload()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's where it is installed (extra ``speed``)."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
