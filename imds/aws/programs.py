"""Programs that print credentials or tokens: a time limit, an output limit, no standard input, complaints unread."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from pathlib import Path
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
    name = Path(arguments[0]).name
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
    with program:
        late = threading.Event()
        timer = threading.Timer(timeout, _end, (program, late))
        timer.daemon = True
        timer.start()
        try:
            printed = program.stdout.read(MOST_OUTPUT + 1) if program.stdout else b""
            if len(printed) > MOST_OUTPUT:
                _kill(program)
                raise CredentialsError("Program", f"{name} printed over {MOST_OUTPUT} bytes", action=Action.CONFIG)
            status = program.wait()
        finally:
            timer.cancel()
    if late.is_set():
        raise CredentialsError("Program", f"{name} did not end within {timeout:g} s", action=Action.RETRY)
    if status != 0:
        raise CredentialsError("Program", f"{name} ended with status {status}", action=Action.RETRY)
    return printed


def _end(program: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    _kill(program)


def _kill(program: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)
