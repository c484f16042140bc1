"""``imds status --watch`` in a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from time import monotonic

import pytest
from support.answering import CONFIG, start


@pytest.fixture
def daemon(tmp_path, moto_server):
    """A daemon of its own."""
    with start(tmp_path, moto_server, CONFIG.format(mode="optional")) as running:
        yield running


def _at_a_terminal() -> None:
    """Take the terminal, and hear Ctrl-C there, which a shell makes deaf whatever it runs in the background."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_it_shows_the_roles_until_it_is_interrupted(daemon):
    """The roles appear, Ctrl-C ends it without a word, and the screen is as it was."""
    ours, theirs = pty.openpty()
    environment = daemon.environment | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    watching = subprocess.Popen(
        [sys.executable, "-m", "imds", "status", "--watch"],
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=_at_a_terminal,  # noqa: PLW1509 - nothing here has threads
    )
    os.close(theirs)
    seen, deadline = b"", monotonic() + 20
    while b"private" not in seen:
        assert monotonic() < deadline, seen
        seen += os.read(ours, 65536)
    os.write(ours, b"\x03")
    try:
        while chunk := os.read(ours, 65536):
            seen += chunk
    except OSError:  # Linux says EIO where the other end is closed
        pass
    os.close(ours)
    assert watching.wait(10) == 0
    assert b"\x1b[?1049h" in seen
    assert b"\x1b[?1049l" in seen
    assert b"Traceback" not in seen


def test_it_needs_a_terminal(daemon):
    """Elsewhere it says what to use instead."""
    failed = daemon.imds("status", "--watch", check=False)
    assert failed.returncode == 2
    assert "--watch needs a terminal" in failed.stderr
