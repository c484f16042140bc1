"""Whether a reason is one that a break-glass role asks for: the operator's regular expression, and anybody's text.

Some expressions take for ever on some texts, and nothing can interrupt Python's while they do. So a program that can be
ended looks, and the daemon goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys

LOOK = "import json, re, sys; sys.exit(re.search(*json.load(sys.stdin)) is None)"
PATIENCE = 3.0
"""Seconds; it needs a twentieth of one."""


async def is_found(pattern: str, reason: str) -> bool:
    """Return whether ``pattern`` is found in ``reason``; one that is not found in time is not.

    Raises:
        OSError: no program can be started.
    """
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", LOOK),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            await program.communicate(json.dumps([pattern, reason]).encode())
    except TimeoutError:
        return False
    finally:
        if program.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                program.kill()
            await program.wait()
    return program.returncode == 0
