"""What a container engine says: Docker's API, which podman speaks too, over a unix socket. Blocking, for threads."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from imds.core.callers import Container

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

API = "/v1.40"
TIMEOUT = 2.0
MOST_BYTES = 8 * 1024 * 1024
LONGEST_EVENT = 1024 * 1024
"""Bytes of a line; labels are in it."""

EVENTS = {
    "type": ["container", "network"],
    "event": ["die", "died", "stop", "destroy", "remove", "rename", "connect", "disconnect"],
}
"""After which what was known of a container may not be so any more; podman has other names for some."""


class EngineError(Exception):
    """An engine does not answer, or not with what Docker's API promises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A container that runs.

    Attributes:
        pid: of its first process, in our numbering unless the engine is in a virtual machine.
        addresses: on its networks; none for one on the host's network.
        started: when, aware.
    """

    container: Container
    pid: int
    addresses: frozenset[str]
    started: datetime


class Engine:
    """One engine."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids: dict[str, str] = {}

    def at_address(self, address: str) -> Running | None:
        """Return the running container that has ``address`` now.

        Raises:
            EngineError: the engine does not say.
        """
        known = self._ids.get(address)
        if known is not None:
            found = self.inspect(known)
            if found is not None and address in found.addresses:
                return found
        told = self._get("/containers/json")
        try:
            self._ids = {ip: str(one["Id"]) for one in told for ip in _addresses(one)}
        except (LookupError, TypeError, AttributeError) as error:
            raise EngineError(f"{self._path} lists containers as Docker's API does not: {error!r}") from error
        container_id = self._ids.get(address)
        found = self.inspect(container_id) if container_id is not None else None
        return found if found is not None and address in found.addresses else None

    def inspect(self, container_id: str) -> Running | None:
        """Return a container that runs, None when there is none.

        Raises:
            EngineError: the engine does not say.
        """
        told = self._get(f"/containers/{quote(container_id, safe='')}/json")
        if told is None:
            return None
        try:
            state, config = told["State"], told["Config"]
            if not state["Running"]:
                return None
            labels = config.get("Labels") or {}
            return Running(
                container=Container(
                    id=str(told["Id"]),
                    name=str(told["Name"]).lstrip("/"),
                    image=str(config["Image"]),
                    labels=tuple(sorted((str(name), str(value)) for name, value in labels.items())),
                ),
                pid=int(state["Pid"]),
                addresses=frozenset(_addresses(told)),
                started=_moment(state["StartedAt"]),
            )
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise EngineError(f"{self._path} says of a container what is not in Docker's API: {error!r}") from error

    @contextmanager
    def events(self, since: int) -> Iterator[Events]:
        """Follow what happens to containers, from a moment in seconds of Unix time.

        Raises:
            EngineError: the engine does not tell.
        """
        connection = _UnixConnection(self._path)
        asked = urlencode({"since": since, "filters": json.dumps(EVENTS)})
        try:
            connection.request("GET", f"{API}/events?{asked}", headers={"Host": "engine"})
            opened = connection.sock
            answer = connection.getresponse()
            if answer.status != http.HTTPStatus.OK:
                raise EngineError(f"{self._path} answers {answer.status}")
            opened.settimeout(None)
            yield Events(answer, opened)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise EngineError(f"{self._path} does not tell what happens: {error}") from error
        finally:
            connection.close()

    def _get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        connection = _UnixConnection(self._path)
        try:
            connection.request("GET", API + path, headers={"Host": "engine"})
            answer = connection.getresponse()
            if answer.status == http.HTTPStatus.NOT_FOUND:
                return None
            content = answer.read(MOST_BYTES + 1)
            if answer.status != http.HTTPStatus.OK or len(content) > MOST_BYTES:
                raise EngineError(f"{self._path} answers {answer.status}")
            return json.loads(content)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise EngineError(f"{self._path} does not answer: {error}") from error
        finally:
            connection.close()


class Events:
    """The ids of containers to which something has happened, as it happens."""

    def __init__(self, answer: http.client.HTTPResponse, connected: socket.socket) -> None:
        self._answer = answer
        self._connected = connected

    def __iter__(self) -> Iterator[str]:
        while line := self._answer.readline(LONGEST_EVENT):
            event = json.loads(line)
            actor = event.get("Actor") if isinstance(event, dict) else None
            if not isinstance(actor, dict):
                raise EngineError("an event is not as Docker's API has them")
            attributes = actor.get("Attributes")
            # a network's event names the container among its attributes, with docker
            named = attributes.get("container") if isinstance(attributes, dict) else None
            yield str(named or actor.get("ID"))

    def stop(self) -> None:
        """End the iteration, from another thread."""
        with suppress(OSError):
            self._connected.shutdown(socket.SHUT_RDWR)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("engine", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(str(self._path))


def _addresses(told: Mapping[str, Any]) -> list[str]:
    networks = (told.get("NetworkSettings") or {}).get("Networks") or {}
    found = [str(network.get(key) or "") for network in networks.values() for key in ("IPAddress", "GlobalIPv6Address")]
    return [address for address in found if address]


def _moment(text: str) -> datetime:
    """Return a time that may have nanoseconds, which Python's do not."""
    head, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    zone = rest[len(digits) :] if dot else ""
    return datetime.fromisoformat(f"{head}.{digits[:6].ljust(6, '0')}{zone}" if dot else text)
