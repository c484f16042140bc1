"""Bytes to a server and back: what a client that nobody wrote for us would see."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Reply:
    """A raw response."""

    raw: bytes

    @property
    def head(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1])

    @property
    def header_lines(self) -> list[str]:
        return [line.decode() for line in self.head.split(b"\r\n")[1:]]

    @property
    def headers(self) -> dict[str, str]:
        return dict(line.split(": ", 1) if ": " in line else (line, "") for line in self.header_lines)


def exchange(address: tuple[str, int], request: bytes, *, timeout: float = 10, half_close: bool = False) -> Reply:
    """Send ``request`` and return everything that comes back until the server closes."""
    with socket.create_connection(address, timeout=timeout) as connection:
        connection.sendall(request)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return Reply(received)


def request(method: str, path: str, headers: dict[str, str] | None = None, *, host: str | None = "127.0.0.1") -> bytes:
    """Return the bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def get_token(address: tuple[str, int], ttl: int = 21600) -> str:
    """Return a session token."""
    reply = exchange(address, request("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": str(ttl)}))
    assert reply.status == 200, reply.raw
    return reply.body.decode()


def get(address: tuple[str, int], path: str, *, token: str | None = None, method: str = "GET") -> Reply:
    """Return the answer to a request with a session token, fetched unless given."""
    token = get_token(address) if token is None else token
    return exchange(address, request(method, path, {"X-aws-ec2-metadata-token": token}))


def control(path: Path, method: str, target: str, body: bytes | str = b"", **headers: str) -> tuple[int, object]:
    """Return the status of a control verb and what its JSON says; ``path`` is the socket's."""
    body = body.encode() if isinstance(body, str) else body
    head = {"Host": "imds", "Content-Length": str(len(body)), "Connection": "close"} | headers
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        connection.sendall(request(method, target, head, host=None) + body)
        reply = Reply(connection.makefile("rb").read())
    return reply.status, json.loads(reply.body) if "json" in reply.headers.get("Content-Type", "") else None
