"""The end: whoever was connected gets an answer, whatever happens at that moment."""

from __future__ import annotations

import signal
import socket
import threading
from dataclasses import dataclass, field

import pytest
from support import wire
from support.answering import CONFIG, LOOPS, start

CLIENTS = 8
LIST = "/latest/meta-data/iam/security-credentials/"


@dataclass
class Tally:
    """What became of each connection."""

    answered: int = 0
    refused: int = 0
    dropped: list[str] = field(default_factory=list)


@pytest.mark.parametrize("loop", LOOPS)
def test_stop_under_load(loop, tmp_path, moto_server):
    """SIGTERM drops no connection that was accepted, ends with status 0 and leaves no socket behind."""
    with start(tmp_path, moto_server, CONFIG.format(mode="required"), loop=loop) as daemon:
        address, token = daemon.address, wire.get_token(daemon.address)
        request = wire.request("GET", LIST, {"X-aws-ec2-metadata-token": token})
        tallies = [Tally() for _ in range(CLIENTS)]
        warm = threading.Barrier(CLIENTS + 1)
        threads = [threading.Thread(target=_load, args=(address, request, tally, warm)) for tally in tallies]
        for thread in threads:
            thread.start()
        warm.wait(30)
        daemon.signal(signal.SIGTERM)
        assert daemon.process.wait(10) == 0
        for thread in threads:
            thread.join(10)
        assert not daemon.control_socket.exists()
    assert [tally.dropped for tally in tallies] == [[]] * CLIENTS
    assert all(tally.answered for tally in tallies)
    assert all(tally.refused for tally in tallies)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_connected_may_still_ask(loop, number, tmp_path, moto_server):
    """A client that connected before the end, and asks only then, gets its answer; new ones are refused."""
    with start(tmp_path, moto_server, CONFIG.format(mode="required"), loop=loop) as daemon:
        address, token = daemon.address, wire.get_token(daemon.address)
        request = wire.request("GET", LIST, {"X-aws-ec2-metadata-token": token})
        connections = [socket.create_connection(address, timeout=10) for _ in range(20)]
        daemon.signal(number)
        daemon.wait_for("STOPPING=1")
        for connection in connections:
            with connection:
                connection.sendall(request)
                assert connection.makefile("rb").read().endswith(b"\r\n\r\napp")
        assert daemon.process.wait(10) == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=10)
        assert not daemon.control_socket.exists()


def _load(address: tuple[str, int], request: bytes, tally: Tally, warm: threading.Barrier) -> None:
    """Ask over and over, until nobody listens any more."""
    while not tally.refused:
        try:
            connection = socket.create_connection(address, timeout=10)
        except ConnectionRefusedError:
            tally.refused += 1
            return
        except ConnectionResetError:
            continue  # the handshake did not end, so nobody had accepted it
        with connection:
            try:
                connection.sendall(request)
                reply = connection.makefile("rb").read()
            except OSError as error:
                tally.dropped.append(repr(error))
                continue
        if not reply.endswith(b"\r\n\r\napp"):
            tally.dropped.append(repr(reply))
        tally.answered += 1
        if tally.answered == 20:
            warm.wait(30)
