"""Talks to a running daemon over its control socket; standard library only, so that commands start at once."""

from __future__ import annotations

import http.client
import json
import os
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from imds.core.errors import ImdsError
from imds.host import places

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT = 10.0


class NoDaemonError(ImdsError):
    """No daemon answers."""


class ControlError(ImdsError):
    """The daemon said no; the text says why."""


class ControlClient:
    """One daemon's control socket."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def call(
        self, method: str, verb: str, body: dict[str, Any] | None = None, *, timeout: float = TIMEOUT
    ) -> dict[str, Any]:
        """Return the daemon's answer to ``verb``, given within ``timeout`` seconds.

        Raises:
            NoDaemonError: none is there (any more).
            ControlError: it said no.
        """
        connection = UnixConnection(self.path, timeout)
        try:
            connection.request(method, f"/v1/{quote(verb)}", body=json.dumps(body) if body is not None else None)
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NoDaemonError(f"no imds daemon answers at {self.path} ({error})") from error
        finally:
            connection.close()
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise ControlError("\n".join([answer.get("error", response.reason), *answer.get("problems", [])]))
        return answer


def find_daemon(socket_path: Path | None) -> ControlClient:
    """Return the client of the first daemon found.

    Raises:
        NoDaemonError: there is none.
    """
    candidates = [socket_path] if socket_path is not None else places.control_sockets(os.environ)
    for path in candidates:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(TIMEOUT)
            try:
                probe.connect(str(path))
            except OSError:
                continue
        return ControlClient(path)
    looked = ", ".join(places.tilde(path, os.environ) for path in candidates)
    raise NoDaemonError(f"no imds daemon is running (looked at {looked}): start one with `imds serve`")


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket; ``timeout`` in seconds."""

    sock: socket.socket

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("imds", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
