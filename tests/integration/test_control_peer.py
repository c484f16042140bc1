"""Who is at the other end of the control socket, also when whoever connected has gone and its number is free."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from imds.web.peers import connected_process

CONNECTS = """\
import os, socket, sys
kept = socket.socket(socket.AF_UNIX)
kept.connect(sys.argv[1])
if os.fork():
    sys.stdin.readline()
    os._exit(0)
sys.stdin.close()
print("ready", flush=True)
kept.recv(1)
"""


class Accepted:
    """As much of a request as is asked for."""

    def __init__(self, accepted: socket.socket) -> None:
        self.transport = self
        self._accepted = accepted

    def get_extra_info(self, _name: str) -> socket.socket:
        return self._accepted


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_a_process_that_has_gone_is_nobody(tmp_path):
    """A connection outlives who made it, in a child's hands; the number that the kernel remembers may be another's."""
    path = str(tmp_path / "s")
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        client = subprocess.Popen(
            [sys.executable, "-c", CONNECTS, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with server.accept()[0] as accepted:
            assert client.stdout.readline() == "ready\n"
            with connected_process(Accepted(accepted)) as process:
                assert (process.uid, process.pid, process.ended) == (os.getuid(), client.pid, False)
                if process.pinned is None:
                    pytest.skip("needs SO_PEERPIDFD (Linux 6.5)")
                client.stdin.write("\n")
                client.stdin.close()
                client.wait()
                assert process.ended, "while it was looked at"
            with connected_process(Accepted(accepted)) as process:
                assert (process.uid, process.pid) == (os.getuid(), None)
            accepted.sendall(b"x")
            client.stdout.read()
            client.stdout.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before
