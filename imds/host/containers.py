"""Which container a connection comes from, by what its engine says and what the kernel knows of it.

A container's address may belong to another one a moment later. So nothing is believed of an address but what is sure
of this very connection: that it is in the network namespace of a container which lives, or, where that cannot be seen,
what the engine says now: the container runs, has the address still, and was started before the connection was made.
"""

from __future__ import annotations

import logging
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from imds.host import cgroups
from imds.host.engine import EngineError
from imds.host.finding import LONGEST_LOOK
from imds.host.followed import FollowedEngine

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from imds.core.callers import Container
    from imds.host.finding import Ends, Found
    from imds.host.followed import Known

logger = logging.getLogger(__name__)

SYSTEM_SOCKETS = (Path("/var/run/docker.sock"), Path("/run/podman/podman.sock"))


class Contained(NamedTuple):
    """A container that a caller is in.

    Attributes:
        container: None where it is in none, or in which one is not known.
        known: whether it is in one; None where no engine, or not every engine, can tell.
        found: its process, as this host numbers processes and users; None where that is not known, or is asked of
            elsewhere.
    """

    container: Container | None
    known: bool | None
    found: Found | None = None


class Call(NamedTuple):
    """A connection from another address than this host's.

    Attributes:
        ends: None stands for any that the container's first process might make.
        connected: when it was accepted, aware.
    """

    ends: Ends | None
    connected: datetime


class Engines:
    """The container engines of this host; blocking, for threads.

    Args:
        sockets: where they may listen; one that is started after us is asked too.
    """

    def __init__(self, sockets: Iterable[Path]) -> None:
        self._engines = {path: FollowedEngine(path) for path in sockets}

    def close(self) -> None:
        """Follow what happens no more."""
        for engine in self._engines.values():
            engine.close()

    def at_address(self, address: str, calls: frozenset[Call]) -> dict[Call, Contained]:
        """Return which container, and which process in it, has made each of some connections from ``address``."""
        until = time.monotonic() + LONGEST_LOOK
        engines = self._present()
        answers: dict[Call, Contained] = {}
        known = next((one for engine in engines if (one := engine.remembered(address)) is not None), None)
        # without a look-up socket in its network asking the engine is as sure, and faster
        if known is not None and known.first is not None and known.first.enters:
            answers = self._seen(known, calls, until)
        if missing := calls - set(answers):
            answers |= self._asked(engines, address, missing, until)
        return answers

    def _asked(
        self, engines: list[FollowedEngine], address: str, calls: frozenset[Call], until: float
    ) -> dict[Call, Contained]:
        """Return the answers by what the engines say now."""
        known, told = _running_at(engines, address)
        if known is None:
            return dict.fromkeys(calls, Contained(None, False if told else None))
        # where a newer one has the address, who made the connection is not known
        started = known.running.started
        earlier = {call: Contained(None, None) for call in calls if started > call.connected}
        answers = {call: Contained(known.running.container, True) for call in calls}
        return answers | self._seen(known, calls, until) | earlier

    def _seen(self, known: Known, calls: frozenset[Call], until: float) -> dict[Call, Contained]:
        """Return the answers for those connections that are seen in a container's network namespace."""
        first = known.first
        if first is None:
            return {}
        owners = first.owners([call.ends for call in calls if call.ends is not None], until)
        found = first.find(frozenset(owners.values()), until) if owners else {}
        answers = {}
        for call in calls:
            if call.ends is None:
                answers[call] = Contained(known.running.container, True, first.itself())
            elif (owner := owners.get(call.ends)) is not None:
                answers[call] = self._told(known, found[owner])
        return answers

    def _told(self, known: Known, found: Found) -> Contained:
        """Return the container whose network a process is in, or the one that shares it and has the process."""
        other = cgroups.container_id(found.cgroup) if found.cgroup is not None else None
        if found.cgroup is None or other in (None, known.running.container.id):
            return Contained(known.running.container, True, found)
        return self.in_cgroup(found.cgroup)._replace(found=found)

    def in_cgroups(self, _uid: int, paths: frozenset[str]) -> dict[str, Contained]:
        """Return which container each of some control groups of a user belongs to."""
        return {path: self.in_cgroup(path) for path in paths}

    def in_cgroup(self, cgroup: str) -> Contained:
        """Return the container that a control group belongs to."""
        container_id = cgroups.container_id(cgroup)
        if container_id is None:
            return Contained(None, False)
        for engine in self._present():
            with suppress(EngineError):
                found = engine.inspect(container_id)
                # a group's name can be imitated; that the engine's own process is in it cannot
                if found is not None and _within(cgroup, cgroups.path_of_process(found.pid)):
                    return Contained(found.container, True)
        return Contained(None, True)

    def _present(self) -> list[FollowedEngine]:
        """Return the engines that are there now, each once."""
        found: dict[tuple[int, int], FollowedEngine] = {}
        for path, engine in self._engines.items():
            with suppress(OSError):
                status = path.stat()
                if stat.S_ISSOCK(status.st_mode):
                    found.setdefault((status.st_dev, status.st_ino), engine)
        return list(found.values())


def _running_at(engines: Iterable[FollowedEngine], address: str) -> tuple[Known | None, bool]:
    """Return the container that has an address now, and whether every engine has told."""
    engines = list(engines)
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


def default_sockets(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where engines may listen: the system's, the user's, and what ``DOCKER_HOST`` names."""
    named = environment.get("DOCKER_HOST", "")
    places = [*SYSTEM_SOCKETS]
    if named.startswith("unix://"):
        places.insert(0, Path(named.removeprefix("unix://")))
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        places += [Path(runtime) / "podman" / "podman.sock", Path(runtime) / "docker.sock"]
    return tuple(places)


def _within(cgroup: str, container: str | None) -> bool:
    """Whether a group is that of a container's first process, or below it."""
    if container is None:
        return False
    # the process may be in a group below the container's own
    whole = container.partition(f"{cgroups.container_id(container) or '?'}")
    own = whole[0] + whole[1] if whole[1] else container
    return cgroup.startswith(own)
