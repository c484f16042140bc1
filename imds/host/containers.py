"""Containers, as their engines know them: Docker's API, which podman speaks too, over a unix socket.

A container's address may belong to another one a moment later, so nothing is believed that the engine does not confirm
for this very connection: it runs, it has the address still, and it was started before the connection was made.
"""

from __future__ import annotations

import http.client
import json
import logging
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from imds.core.callers import Container
from imds.host import cgroups

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

logger = logging.getLogger(__name__)

API = "/v1.40"
TIMEOUT = 2.0
MOST_BYTES = 8 * 1024 * 1024
SYSTEM_SOCKETS = (Path("/var/run/docker.sock"), Path("/run/podman/podman.sock"))


Contained = tuple[Container | None, bool | None]
"""A container, and whether there is one; the second is None where no engine, or not every engine, can tell."""


class EngineError(Exception):
    """An engine does not answer, or not with what Docker's API promises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A container that runs.

    Attributes:
        pid: of its first process, in our numbering.
        addresses: on its networks; none for one on the host's network.
        started: when, aware.
    """

    container: Container
    pid: int
    addresses: frozenset[str]
    started: datetime


class Engines:
    """The container engines of this host; blocking, for threads.

    Args:
        sockets: where they may listen; one that is started after us is asked too.
    """

    def __init__(self, sockets: Iterable[Path]) -> None:
        self._engines = {path: Engine(path) for path in sockets}

    def at_address(self, address: str, moments: frozenset[datetime]) -> dict[datetime, Contained]:
        """Return which container has had ``address`` since before each of some connections was made."""
        found, told = self._running_at(address)
        if found is None:
            return dict.fromkeys(moments, (None, False if told else None))
        # where a newer one has the address, who made the connection is not known
        return {made: (found.container, True) if found.started <= made else (None, None) for made in moments}

    def _running_at(self, address: str) -> tuple[Running | None, bool]:
        """Return the container that has an address now, and whether every engine has told."""
        engines = self._present()
        told = bool(engines)
        for engine in engines:
            try:
                found = engine.at_address(address)
            except EngineError as error:
                logger.debug("%s", error)
                told = False
                continue
            if found is not None:
                return found, told
        return None, told

    def in_cgroups(self, _uid: int, paths: frozenset[str]) -> dict[str, Contained]:
        """Return which container each of some control groups of a user belongs to."""
        return {path: self.in_cgroup(path) for path in paths}

    def in_cgroup(self, cgroup: str) -> Contained:
        """Return the container that a control group belongs to."""
        container_id = cgroups.container_id(cgroup)
        if container_id is None:
            return None, False
        for engine in self._present():
            with suppress(EngineError):
                found = engine.inspect(container_id)
                # a group's name can be imitated; that the engine's own process is in it cannot
                if found is not None and _within(cgroup, cgroups.path_of_process(found.pid)):
                    return found.container, True
        return None, True

    def _present(self) -> list[Engine]:
        """Return the engines that are there now, each once."""
        found: dict[tuple[int, int], Engine] = {}
        for path, engine in self._engines.items():
            with suppress(OSError):
                status = path.stat()
                if stat.S_ISSOCK(status.st_mode):
                    found.setdefault((status.st_dev, status.st_ino), engine)
        return list(found.values())


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


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("engine", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(str(self._path))


def default_sockets(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where engines may listen: the system's, the user's, and what ``DOCKER_HOST`` names."""
    named = environment.get("DOCKER_HOST", "")
    places = [*SYSTEM_SOCKETS]
    if named.startswith("unix://"):
        places.insert(0, Path(named.removeprefix("unix://")))
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        places += [Path(runtime) / "podman" / "podman.sock", Path(runtime) / "docker.sock"]
    return tuple(places)


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


def _within(cgroup: str, container: str | None) -> bool:
    """Whether a group is that of a container's first process, or below it."""
    if container is None:
        return False
    # the process may be in a group below the container's own
    whole = container.partition(f"{cgroups.container_id(container) or '?'}")
    own = whole[0] + whole[1] if whole[1] else container
    return cgroup.startswith(own)
