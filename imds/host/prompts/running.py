"""Runs a program that is given up after a while, with all that it has started; it has a session of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from typing import TYPE_CHECKING

from imds.host.prompts import PromptFailedError, UnansweredError

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Mapping, Sequence

MOST_OUTPUT = 64 * 1024
"""Bytes."""


@contextlib.asynccontextmanager
async def started(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    typed: int = asyncio.subprocess.DEVNULL,
    complaints: int = asyncio.subprocess.DEVNULL,
) -> AsyncIterator[Process]:
    """Give a program that writes to a pipe; afterwards it and its group are gone.

    Args:
        arguments: its own and its name, looked for on the ``PATH`` of ``environment``.
        environment: its own.
        typed: as ``stdin`` of ``subprocess``.
        complaints: as ``stderr``.

    Raises:
        PromptFailedError: it is not there, or cannot be started.
    """
    name = arguments[0]
    found = shutil.which(name, path=environment.get("PATH"))
    if found is None:
        raise PromptFailedError(f"there is no program {name}")
    try:
        program = await asyncio.create_subprocess_exec(
            found,
            *arguments[1:],
            stdin=typed,
            stdout=asyncio.subprocess.PIPE,
            stderr=complaints,
            env=dict(environment),
            start_new_session=True,
            limit=MOST_OUTPUT,
        )
    except OSError as error:
        raise PromptFailedError(f"{name}: {error.strerror}") from error
    try:
        yield program
    finally:
        if program.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
        await program.wait()


async def run(arguments: Sequence[str], environment: Mapping[str, str], *, seconds: float) -> tuple[int, bytes, bytes]:
    """Return a program's status, and what it wrote to standard output and standard error, up to a bound.

    Raises:
        PromptFailedError: it could not be started, or wrote too much.
        UnansweredError: it did not end within ``seconds``.
    """
    try:
        async with (
            asyncio.timeout(seconds),
            started(arguments, environment, complaints=asyncio.subprocess.PIPE) as program,
        ):
            written, complaints = await asyncio.gather(_read(program.stdout), _read(program.stderr))
            return await program.wait(), written, complaints
    except TimeoutError as error:
        raise UnansweredError(f"no answer within {seconds:g} s") from error


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    written = b""
    while stream is not None and (more := await stream.read(MOST_OUTPUT)):
        written += more
        if len(written) > MOST_OUTPUT:  # at once, since nobody would read on, and it would not end
            raise PromptFailedError(f"it wrote over {MOST_OUTPUT} bytes")
    return written
