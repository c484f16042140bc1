"""botocore blocks, so it works in a few threads of its own."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from imds.aws.budget import Budget
from imds.aws.errors import translate
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_CALLS = 4
"""More threads only fight for the interpreter: twenty sessions loaded at once hold the event loop up for 200 ms."""

MOST_LOADS = 8
"""Threads that load sources. They are apart from those that call STS, since a program or a file may hang."""

PATIENCE = 60.0
"""Seconds after which a call counts as failed: several single calls of 11 s, or a program started by a profile."""

Result = TypeVar("Result")


class AwsThreads:
    """Two small pools of threads for botocore: one asks AWS for sessions, one loads sources."""

    def __init__(self) -> None:
        self._calls = ThreadPoolExecutor(max_workers=MOST_CALLS, thread_name_prefix="aws")
        self._loads = ThreadPoolExecutor(max_workers=MOST_LOADS, thread_name_prefix="aws-load")
        self.budget = Budget()

    async def ask_for_session(self, call: Callable[[], Result]) -> Result:
        """Return what ``call`` returns, made within the budget of sessions.

        Raises:
            CredentialsError: it failed in a way that AWS users know.
        """
        wait = self.budget.take(asyncio.get_running_loop().time())
        if wait:
            await asyncio.sleep(wait)
        return await self.call(call)

    async def call(self, call: Callable[[], Result]) -> Result:
        """Likewise, without regard to the budget."""
        return await _run(self._calls, call)

    async def load(self, load: Callable[[], Result]) -> Result:
        """Return what ``load`` returns, which may run programs and read files.

        Raises:
            CredentialsError: it failed in a way that AWS users know.
        """
        return await _run(self._loads, load)

    def close(self) -> None:
        """Start nothing more; calls under way end by their own time-outs."""
        for pool in (self._calls, self._loads):
            pool.shutdown(wait=False, cancel_futures=True)


async def _run(pool: ThreadPoolExecutor, call: Callable[[], Result]) -> Result:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as limit:

            def started() -> Result:
                loop.call_soon_threadsafe(_count_from_now, limit)
                return call()

            return await loop.run_in_executor(pool, started)
    except TimeoutError as error:
        raise CredentialsError("Timeout", f"no end after {PATIENCE:g} s", action=Action.RETRY) from error
    except Exception as error:
        known = translate(error)
        if known is None or known is error:
            raise
        raise known from error


def _count_from_now(limit: asyncio.Timeout) -> None:
    """Begin to lose patience with a call: it has left the queue."""
    with contextlib.suppress(RuntimeError):  # it may be over already
        limit.reschedule(asyncio.get_running_loop().time() + PATIENCE)
