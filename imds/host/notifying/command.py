"""Runs a program that tells somebody: no shell, JSON on its standard input, a time limit, few variables."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imds.core.callers import printable
from imds.core.errors import NotifyError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KEPT_VARIABLES = (
    *(
        "HOME",
        "LANG",
        "LC_ALL",
        "LOGNAME",
        "PATH",
        "TMPDIR",
        "TZ",
        "USER",
        "XDG_RUNTIME_DIR",
        "DBUS_SESSION_BUS_ADDRESS",
    ),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)
"""What a program gets of the daemon's environment: nothing that leads to credentials."""

TICK = 0.02
"""Seconds between two looks at whether it has ended."""

LAST_OUTPUT = 4096
"""Bytes that are kept of each of its outputs, the last ones; it may print as much as it likes."""

PIPE_BYTES = 1024 * 1024
"""What a pipe holds at most, unless root says otherwise."""

LONGEST_COMPLAINT = 200
"""Characters of its last word that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program has ended: its status, and the last of what it printed."""

    status: int
    printed: bytes
    complaint: bytes

    @property
    def last_word(self) -> str:
        """The last line on its standard error, fit to be shown; empty where it said nothing."""
        lines = [line for line in self.complaint.decode("utf-8", "replace").splitlines() if line.strip()]
        return printable(lines[-1].strip())[:LONGEST_COMPLAINT] if lines else ""


async def run_command(
    command: Sequence[str],
    *,
    content: bytes,
    variables: Mapping[str, str],
    environment: Mapping[str, str],
    longest: float,
) -> None:
    """Run a program that is to tell somebody, and wait until it has.

    Args:
        command: the program and its arguments.
        content: for its standard input.
        variables: further ones for its environment.
        environment: the daemon's.
        longest: seconds after which it is killed, with all that it has started.

    Raises:
        NotifyError: it could not be started, failed, or did not end in time.
    """
    kept = {name: environment[name] for name in KEPT_VARIABLES if name in environment}
    ended = await run_program(command, content=content, environment={**kept, **variables}, longest=longest)
    if ended.status != 0:
        how = f"ended with status {ended.status}" if ended.status > 0 else f"was ended by signal {-ended.status}"
        raise NotifyError(f"{how}: {ended.last_word}" if ended.last_word else how)


async def run_program(
    command: Sequence[str], *, content: bytes, environment: Mapping[str, str], longest: float
) -> Ended:
    """Return how a program has ended; cancelled, it is killed like one that takes too long.

    Raises:
        NotifyError: it could not be started, or did not end in time.
    """
    stop, stopper = os.pipe()
    # a thread of its own: one that hangs must not keep others from theirs
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="notify")
    running = thread.submit(_run, command, content, environment, longest, stop)
    running.add_done_callback(lambda _: os.close(stop))
    thread.shutdown(wait=False)
    try:
        return await asyncio.wrap_future(running)
    finally:
        os.close(stopper)


def _run(command: Sequence[str], content: bytes, environment: Mapping[str, str], longest: float, stop: int) -> Ended:
    deadline = time.monotonic() + longest
    try:
        program = subprocess.Popen(  # noqa: S603 - the operator names the program
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=dict(environment),
            cwd="/",
        )
    except OSError as error:
        raise NotifyError(f"cannot be started: {error.strerror}") from error
    pipes = _Pipes(program, content)
    try:
        while program.poll() is None:
            if pipes.wait(stop):
                raise NotifyError("we stop")
            if time.monotonic() >= deadline:
                raise NotifyError(f"did not end within {longest:g} s")
        pipes.read_rest()
        return Ended(status=program.returncode, printed=pipes.printed, complaint=pipes.complaint)
    finally:
        if program.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()
        pipes.close()


class _Pipes:
    """A program's standard streams, none of which is ever waited for."""

    def __init__(self, program: subprocess.Popen[bytes], content: bytes) -> None:
        self._streams = [stream for stream in (program.stdin, program.stdout, program.stderr) if stream is not None]
        self._in, self._out, self._err = (stream.fileno() for stream in self._streams)
        self._left = content
        self._kept = {self._out: b"", self._err: b""}
        self._poll = select.poll()
        for descriptor in (self._in, self._out, self._err):
            os.set_blocking(descriptor, False)
            self._poll.register(descriptor, select.POLLOUT if descriptor == self._in else select.POLLIN)

    @property
    def printed(self) -> bytes:
        """The last of its standard output."""
        return self._kept[self._out]

    @property
    def complaint(self) -> bytes:
        """The last of its standard error."""
        return self._kept[self._err]

    def wait(self, stop: int) -> bool:
        """Read and write what can be read and written within a tick; return whether ``stop`` has been closed."""
        self._poll.register(stop, select.POLLIN)
        for descriptor, _ in self._poll.poll(TICK * 1000):
            if descriptor == stop:
                return True
            if not (self._write() if descriptor == self._in else self._read(descriptor)):
                self._poll.unregister(descriptor)
        return False

    def read_rest(self) -> None:
        """Read what is there by now; whatever the program has left behind may hold the pipes for ever."""
        for descriptor in self._kept:
            for _ in range(PIPE_BYTES // LAST_OUTPUT):
                if not self._read(descriptor):
                    break

    def close(self) -> None:
        """Close them."""
        for stream in self._streams:
            with contextlib.suppress(OSError):
                stream.close()

    def _write(self) -> bool:
        """Write some; return whether there is more."""
        try:
            self._left = self._left[os.write(self._in, self._left) :]
        except BlockingIOError:
            return True
        except OSError:  # it does not care to read
            self._left = b""
        if not self._left:
            self._streams[0].close()
        return bool(self._left)

    def _read(self, descriptor: int) -> bool:
        """Read some; return whether there was any."""
        try:
            more = os.read(descriptor, LAST_OUTPUT)
        except OSError:  # nothing there now
            return False
        self._kept[descriptor] = (self._kept[descriptor] + more)[-LAST_OUTPUT:]
        return bool(more)
