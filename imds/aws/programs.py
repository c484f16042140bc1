"""Programs that print credentials or tokens: a time limit, an output limit, no standard input, complaints unread."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT = 30.0
"""Seconds, unless the configuration says otherwise."""

MOST_OUTPUT = 256 * 1024
"""Bytes; a SAML response with many roles stays well below."""


def run_program(arguments: Sequence[str], *, timeout: float = TIMEOUT) -> bytes:
    """Return what a program printed; blocks.

    What it prints on standard error may hold a secret, so it goes nowhere. It has a session of its own, so that its
    children end with it and a prompt finds no terminal.

    Raises:
        CredentialsError: it could not be started, took too long, printed too much, or failed.
    """
    name = arguments[0]
    try:
        program = subprocess.Popen(  # noqa: S603 - the operator names the program
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise CredentialsError("Program", f"{name}: {error.strerror}", action=Action.CONFIG) from error
    deadline = time.monotonic() + timeout
    printed = b""
    with program:  # closes the pipe and waits for the end
        try:
            while len(printed) <= MOST_OUTPUT and (more := _read(program, deadline)):
                printed += more
            if len(printed) > MOST_OUTPUT:
                raise _excess(name)  # noqa: TRY301 - killed like the rest
            status = program.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            _kill(program)
            raise CredentialsError(
                "ProgramTimeout", f"{name} did not end within {timeout:g} s", action=Action.RETRY
            ) from error
        except BaseException:
            _kill(program)
            raise
    if status != 0:
        raise CredentialsError(
            "Program", f"{name} ended with status {status}: run it by hand to see why", action=Action.RETRY
        )
    return printed


def _read(program: subprocess.Popen[bytes], deadline: float) -> bytes:
    """Return some of its output, nothing at the end of it, which a program that it leaves behind may hold back."""
    if program.stdout is None:
        return b""
    ready = select.poll()
    ready.register(program.stdout, select.POLLIN)
    if not ready.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise subprocess.TimeoutExpired(program.args, 0)
    return os.read(program.stdout.fileno(), MOST_OUTPUT)


def _excess(name: str) -> CredentialsError:
    return CredentialsError("Program", f"{name} printed over {MOST_OUTPUT} bytes", action=Action.CONFIG)


def _kill(program: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)
