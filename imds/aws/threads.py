"""botocore blocks, so it works in a few threads of its own."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from imds.aws.budget import Budget
from imds.aws.errors import translate
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 4
"""More threads only fight for the interpreter: twenty sessions loaded at once hold the event loop up for 200 ms."""

PATIENCE = 60.0
"""Seconds after which a call counts as failed: several single calls of 11 s, or a program started by a profile."""

Result = TypeVar("Result")


class AwsThreads:
    """A pool of at most four threads for botocore."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=MOST, thread_name_prefix="aws")
        self.budget = Budget()

    async def call_sts(self, call: Callable[[], Result]) -> Result:
        """Like ``run``, within the budget of STS calls."""
        wait = self.budget.take(asyncio.get_running_loop().time())
        if wait:
            await asyncio.sleep(wait)
        return await self.run(call)

    async def run(self, call: Callable[[], Result]) -> Result:
        """Return what ``call`` returns, made in one of the threads.

        Raises:
            CredentialsError: it failed in a way that AWS users know.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PATIENCE):
                return await loop.run_in_executor(self._pool, call)
        except TimeoutError as error:
            raise CredentialsError("Timeout", f"no end after {PATIENCE:g} s", action=Action.RETRY) from error
        except Exception as error:
            known = translate(error)
            if known is None or known is error:
                raise
            raise known from error

    def close(self) -> None:
        """Start nothing more; calls under way end by their own time-outs."""
        self._pool.shutdown(wait=False, cancel_futures=True)
