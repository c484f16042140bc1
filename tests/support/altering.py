"""A proxy in front of a server that makes it another, broken one: it alters what is asked or what is answered."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from time import sleep
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Asked = Callable[[bytes], bytes]
    Answered = Callable[[bytes, bytes], bytes]

END = b"\r\n\r\n"
MOST = 65536
LINGER = 0.1
"""Seconds for which a connection counts when it has ended, where they are counted: who comes at once comes at once."""


class Altering:
    """Forwards each connection's first request and its answer through functions, and all else as it is.

    Args:
        address: of the server.
        asked: gives the request that the server gets: the head, and what of the body came with it.
        answered: gives, from the request as it was sent and the server's whole answer, what the client gets.
        most: connections at once; more are closed; 0 takes any number.
        keeps_open: whether connections stay open behind the answer.
        closes: whether they are closed behind it.
    """

    def __init__(
        self,
        address: tuple[str, int],
        *,
        asked: Asked = lambda request: request,
        answered: Answered = lambda _, answer: answer,
        most: int = 0,
        keeps_open: bool = False,
        closes: bool = False,
    ) -> None:
        self._server = address
        self._asked = asked
        self._answered = answered
        self._most = most
        self._free = threading.Semaphore(most)
        self._keeps_open = keeps_open
        self._closes = closes
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.mistakes: list[Exception] = []

    @property
    def address(self) -> tuple[str, int]:
        return self._listener.getsockname()[:2]

    def __enter__(self) -> Altering:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        assert not self.mistakes, self.mistakes

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._most and not self._free.acquire(blocking=False):
                    client.close()
                    continue
                thread = threading.Thread(target=self._connection, args=(client,), daemon=True)
                thread.start()

    def _connection(self, client: socket.socket) -> None:
        try:
            with client, suppress(OSError):
                self._forward(client)
        except Exception as error:  # noqa: BLE001 - of a function of a test: told at the end
            self.mistakes.append(error)
        finally:
            if self._most:
                sleep(LINGER)
                self._free.release()

    def _forward(self, client: socket.socket) -> None:
        client.settimeout(60)
        request = _head(client)
        with socket.create_connection(self._server, timeout=60) as server:
            sent = self._asked(request)
            back = threading.Thread(target=_pump, args=(client, server, sent), daemon=True)
            if self._keeps_open or not _is_all(sent):
                back.start()
            else:
                server.sendall(sent)
            answer = _answer(server, head_only=sent.startswith(b"HEAD "))
            client.sendall(self._answered(request, answer))
            if self._keeps_open:
                back.join(5)
            elif not self._closes and b"\r\nConnection: close\r\n" not in answer:
                _pump(server, client)


def _is_all(request: bytes) -> bool:
    """Whether nothing follows a request: its head is whole and tells of no body."""
    return request.endswith(END) and not re.search(
        rb"\r\n(?:Content-Length|Transfer-Encoding|Expect)", request, re.IGNORECASE
    )


def _head(client: socket.socket) -> bytes:
    """Return what a client sends up to the end of a request's head, or of all that it sends."""
    head = b""
    while END not in head and len(head) < MOST and (more := client.recv(MOST)):
        head += more
    return head


def _answer(server: socket.socket, *, head_only: bool) -> bytes:
    """Return one whole answer; interim ones are left out."""
    answer = b""
    with suppress(ConnectionError):  # reset while there was more to read: what came is the answer
        while not _whole(answer, head_only=head_only) and (more := server.recv(MOST)):
            answer += more
            if answer.startswith(b"HTTP/1.1 100 ") and END in answer:
                answer = answer.partition(END)[2]
    return answer


def _whole(answer: bytes, *, head_only: bool) -> bool:
    head, end, body = answer.partition(END)
    if not end:
        return False
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head_only or (bool(lengths) and len(body) >= int(lengths[0]))


def _pump(source: socket.socket, target: socket.socket, first: bytes = b"") -> None:
    with suppress(OSError):
        target.sendall(first)
        while data := source.recv(MOST):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
