"""Bytes to an endpoint and back, over sockets of our own: no client library that mends what it sends or reads."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Final

from imds.core.callers import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST: Final = 2 * 1024 * 1024
"""Bytes of an answer that are read."""

SHOWN: Final = 60
"""Characters of a body that are shown."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: ([^\r\n]*))?\r\n")
_INTERIM = re.compile(rb"HTTP/1\.[01] 1[0-9]{2}[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n")


class NoAnswerError(Exception):
    """A request got no answer that can be read; says what happened instead.

    Args:
        what: for people.
        late: whether time was all that was missing.
    """

    def __init__(self, what: str, *, late: bool = False) -> None:
        super().__init__(what)
        self.late = late


@dataclass(frozen=True)
class Reply:
    """An answer as it came.

    Attributes:
        raw: every byte, without interim answers (``100 Continue``).
        hidden: whether its body is nobody's business: a token, credentials, user data.
        after: seconds from the request to its end.
        closed: whether the server has closed the connection by then.
    """

    raw: bytes
    hidden: bool = False
    after: float = 0.0
    closed: bool = False

    @cached_property
    def status(self) -> int:
        """The status; 0 where there is none."""
        found = _STATUS_LINE.match(self.raw)
        return int(found[1]) if found else 0

    @cached_property
    def head(self) -> str:
        """The status line and the headers."""
        return self.raw.partition(b"\r\n\r\n")[0].decode("latin-1")

    @cached_property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Names as they are written, and values, in order."""
        lines = self.head.split("\r\n")[1:]
        return tuple((name, value.strip(" \t")) for name, _, value in (line.partition(":") for line in lines))

    def header(self, name: str) -> str | None:
        """Return the value of the first header of that name, in any case."""
        return next((value for other, value in self.headers if other.lower() == name.lower()), None)

    @cached_property
    def framed(self) -> bytes:
        """Everything behind the head."""
        return self.raw.partition(b"\r\n\r\n")[2]

    @cached_property
    def body(self) -> bytes:
        """The body, out of its chunks where it is in such."""
        if (self.header("Transfer-Encoding") or "").lower() == "chunked":
            return _joined(self.framed)
        return self.framed

    @cached_property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def lines(self) -> tuple[str, ...]:
        """What a listing names."""
        return tuple(line for line in self.text.split("\n") if line)

    def __str__(self) -> str:
        """Tell it, without a body that is nobody's business."""
        kind = self.header("Content-Type")
        body = f"{len(self.body)} bytes" if self.hidden or not self.body else repr(printable(self.text[:SHOWN]))
        return f"{self.status or 'no status'}{f', {kind}' if kind else ''}, {body if self.body else 'empty'}"


def _joined(framed: bytes) -> bytes:
    body = b""
    while framed:
        size, _, framed = framed.partition(b"\r\n")
        try:
            length = int(size.split(b";")[0], 16)
        except ValueError:
            return body
        if length == 0:
            break
        body, framed = body + framed[:length], framed[length + 2 :]
    return body


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a service is: one address, looked up once; nothing else is ever connected to.

    Attributes:
        host: as the URL has it.
        family: of the address.
        address: for ``connect``.
        patience: seconds for a whole answer.
    """

    host: str
    port: int
    family: socket.AddressFamily
    address: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
    patience: float = 3.0

    @classmethod
    def of(cls, host: str, port: int, *, patience: float) -> Endpoint:
        """Look an endpoint up.

        Raises:
            NoAnswerError: the name is not known.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise NoAnswerError(f"the host {host!r} is not known") from error
        family, _, _, _, address = found[0]
        return cls(host=host, port=port, family=family, address=address, patience=patience)

    @property
    def authority(self) -> str:
        """Host and port, as a ``Host`` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 80 else f"{host}:{self.port}"  # noqa: PLR2004 - http's own

    def connect(self) -> socket.socket:
        """Return a connection.

        Raises:
            NoAnswerError: there is none to be had.
        """
        connected = socket.socket(self.family, socket.SOCK_STREAM)
        try:
            connected.settimeout(self.patience)
            connected.connect(self.address)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except TimeoutError as error:
            connected.close()
            raise NoAnswerError(f"no connection within {self.patience:g} s", late=True) from error
        except OSError as error:
            connected.close()
            raise NoAnswerError(f"no connection: {error.strerror or error}") from error
        return connected

    def exchange(
        self,
        *pieces: bytes,
        to_the_end: bool = False,
        half_close: bool = False,
        head_only: bool = False,
        hidden: bool = False,
        patience: float | None = None,
    ) -> Reply:
        """Send ``pieces`` on a connection of their own and return the answer.

        Args:
            pieces: sent one by one.
            to_the_end: whether to read until the server closes, not only until the answer is complete.
            half_close: whether to say then that nothing more will come.
            head_only: whether no body belongs to the answer.
            hidden: whether its body is nobody's business.
            patience: seconds, other than usual.

        Raises:
            NoAnswerError: there is no whole answer.
        """
        with self.connect() as connected:
            began = monotonic()
            with suppress(ConnectionError):  # it may answer and close before it has read all
                for piece in pieces:
                    send(connected, piece)
                if half_close:
                    connected.shutdown(socket.SHUT_WR)
            raw, closed = receive(
                connected, deadline=began + (patience or self.patience), to_the_end=to_the_end, head_only=head_only
            )
            return Reply(raw, hidden=hidden, after=monotonic() - began, closed=closed)


def send(connected: socket.socket, data: bytes) -> None:
    """Send ``data``.

    Raises:
        NoAnswerError: the other end does not take it.
    """
    try:
        connected.sendall(data)
    except TimeoutError as error:
        raise NoAnswerError("it does not read what is sent", late=True) from error


def receive(  # noqa: C901 - each way in which an answer may end
    connected: socket.socket, *, deadline: float, to_the_end: bool = False, head_only: bool = False
) -> tuple[bytes, bool]:
    """Return one answer, or everything until the end; and whether the server closed the connection.

    Raises:
        NoAnswerError: there is no whole answer by ``deadline``.
    """
    raw, closed = b"", False
    while True:
        raw = _INTERIM.sub(b"", raw, count=1) if raw.startswith(b"HTTP/1.") else raw
        if not to_the_end and _is_complete(raw, head_only=head_only):
            return raw, closed
        connected.settimeout(max(0.001, deadline - monotonic()))
        try:
            chunk = connected.recv(65536)
        except TimeoutError as error:
            if raw and to_the_end:
                return raw, False
            raise NoAnswerError("half an answer, and no more in time" if raw else "no answer in time", late=True) from (
                error
            )
        except ConnectionError as error:
            if raw:
                return raw, True
            raise NoAnswerError("the connection was reset") from error
        if not chunk:
            break
        raw += chunk
        if len(raw) > MOST:
            raise NoAnswerError(f"an answer of more than {MOST} bytes")
    if not raw:
        raise NoAnswerError("the connection was closed without an answer")
    if not _STATUS_LINE.match(raw):
        raise NoAnswerError("what came is not HTTP/1.1")
    return raw, True


def _is_complete(raw: bytes, *, head_only: bool) -> bool:
    """Whether an answer ends here by its own framing; one without any ends with the connection."""
    head, end, _ = raw.partition(b"\r\n\r\n")
    if not end or not _STATUS_LINE.match(raw):
        return False
    reply = Reply(raw)
    if head_only or reply.status in (204, 304):
        return True
    if (length := reply.header("Content-Length")) is not None and length.isascii() and length.isdigit():
        return len(raw) - len(head) - len(end) >= int(length)
    return (reply.header("Transfer-Encoding") or "").lower() == "chunked" and raw.endswith(b"0\r\n\r\n")


def request_bytes(method: str, target: str, headers: Mapping[str, str], *, version: str = "1.1") -> bytes:
    """Return the bytes of a request without a body."""
    lines = [f"{method} {target} HTTP/{version}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
