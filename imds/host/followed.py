"""What an engine said of containers, kept as long as its events say that it is still so.

Events come late: podman's by more than half a second. A container may have died, and its address be another's, before
its engine says so. So what is kept is never believed by itself; whoever uses it looks for the connection in the
container's own network namespace, which the kernel knows (``first_process``). The events only keep names fresh and
spare us an engine that is asked for each connection.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imds.host.engine import Engine, EngineError
from imds.host.first_process import FirstProcess

if TYPE_CHECKING:
    from pathlib import Path

    from imds.host.engine import Events, Running

logger = logging.getLogger(__name__)

MOST_KEPT = 32
"""Containers; each has two files open."""

KEPT = 60.0
"""Seconds after which an engine is asked again all the same: it may hang, and tell nothing."""

SHORTEST_WAIT, LONGEST_WAIT = 1.0, 30.0
"""Seconds until an engine that tells nothing any more is asked for its events again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A container, as its engine told of it.

    Attributes:
        first: its first process; None where that is none of this host's, or may not be known.
        learned: when, monotonic seconds.
    """

    running: Running
    first: FirstProcess | None
    learned: float


class FollowedEngine:
    """An engine whose events are followed from the first container on that it knows; for threads."""

    def __init__(self, path: Path) -> None:
        self._engine = Engine(path)
        self._lock = threading.Lock()
        self._kept: dict[str, Known] = {}
        self._changes = 0
        self._following = False
        self._events: Events | None = None
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def remembered(self, address: str) -> Known | None:
        """Return which container had an address when the engine was last asked, where it runs still."""
        with self._lock:
            known = self._kept.get(address)
            if known is None or known.first is None:
                return None
            if time.monotonic() - known.learned < KEPT and known.first.lives:
                return known
            del self._kept[address]
        return None

    def at_address(self, address: str) -> Known | None:
        """Return the running container that has ``address`` now.

        Raises:
            EngineError: the engine does not say.
        """
        with self._lock:
            changes = self._changes
        running = self._engine.at_address(address)
        if running is None:
            return None
        self._follow()
        with self._lock:
            before = self._kept.get(address)
        first = before.first if before is not None and before.running == running else FirstProcess.of(running)
        known = Known(running=running, first=first, learned=time.monotonic())
        with self._lock:
            # what has happened since the engine answered may be about this one
            if self._following and changes == self._changes and known.first is not None:
                self._kept.pop(address, None)
                self._kept[address] = known
                if len(self._kept) > MOST_KEPT:
                    del self._kept[next(iter(self._kept))]
        return known

    def inspect(self, container_id: str) -> Running | None:
        """Return a container that runs, None when there is none.

        Raises:
            EngineError: the engine does not say.
        """
        return self._engine.inspect(container_id)

    def close(self) -> None:
        """Follow it no more."""
        self._closed.set()
        with self._lock:
            self._kept.clear()
            if self._events is not None:
                self._events.stop()

    def _follow(self) -> None:
        with self._lock:
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._follow_all, name="engine events", daemon=True)
                self._thread.start()

    def _follow_all(self) -> None:
        wait = SHORTEST_WAIT
        while not self._closed.is_set():
            began = time.monotonic()
            try:
                self._follow_once()
            except EngineError as error:
                logger.debug("%s", error)
            except Exception:
                logger.exception("unexpected failure while following a container engine")
            finally:
                self._forget(following=False)
            wait = SHORTEST_WAIT if time.monotonic() - began > LONGEST_WAIT else min(2 * wait, LONGEST_WAIT)
            self._closed.wait(wait)

    def _follow_once(self) -> None:
        """Follow until the engine tells nothing any more.

        Raises:
            EngineError: it does not tell at all.
        """
        # docker answers before it listens to what happens: what has happened meanwhile is told afterwards
        with self._engine.events(int(time.time()) - 1) as events:
            with self._lock:
                if self._closed.is_set():
                    return
                self._events, self._following = events, True
            for container_id in events:
                self._forget(container_id)

    def _forget(self, container_id: str | None = None, *, following: bool = True) -> None:
        """Forget a container, or all, and what is being asked meanwhile."""
        with self._lock:
            self._changes += 1
            self._following = following
            kept = self._kept.items() if container_id is not None else ()
            self._kept = {address: known for address, known in kept if known.running.container.id != container_id}
            if not following:
                self._events = None
