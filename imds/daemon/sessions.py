"""Live sessions outlive the daemon: what an earlier one left is served at once, and what we have is left for the next.

Nothing but live sessions is kept, in one place (``persist_sessions``). Whatever fails here is told, and changes nothing
about what is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imds.core.errors import ConfigError, PlaceError, Problem
from imds.core.kept_sessions import KeptSession, Moment
from imds.host.boot import boot_id
from imds.host.fingerprints import fingerprint
from imds.host.session_places import Entry
from imds.host.session_places import Surroundings as PlaceSurroundings
from imds.host.session_places.choosing import choose

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from random import Random

    from imds.config.schema import Config
    from imds.core.clock import Clock
    from imds.core.schedule import Schedule
    from imds.core.skew import Skew
    from imds.core.store import Store
    from imds.daemon.keepers import Keepers
    from imds.daemon.surroundings import Surroundings
    from imds.host.session_places import Place
    from imds.host.systemd import Notifier

logger = logging.getLogger(__name__)

GATHER = 0.1
"""Seconds between two writes: a thousand roles that start together are written a few times."""

PART = 10
"""Writing takes at most the tenth part of the time, where a thousand roles make it slow."""

TRY_AGAIN = 60.0
"""Seconds after which what could not be kept is tried again, though nothing has changed."""

LONGEST_LOOK = 5.0
"""Seconds; files on a network that is gone are as good as unchanged."""

LONGEST_CLOSE = 2.0
"""Seconds that a place which hangs may keep us from stopping."""

DEFAULT = ("fd_store", "none")
"""Memory that systemd keeps for us, where it does; nothing else unless somebody asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Live:
    """A session to be kept.

    Attributes:
        session: what is known of it.
        text: as it is kept; None while that has not been made, and its ``origin`` is still to be looked at.
        files: which tell its origin; None where that is not known.
        lives: how long it still does.
    """

    session: KeptSession
    text: bytes | None = field(default=None, repr=False)
    files: tuple[Path, ...] | None = None
    lives: timedelta = timedelta()


class Sessions:
    """Restores and keeps sessions.

    Attributes:
        kept_in: the place, as ``persist_sessions`` names it; None keeps nothing.
        restored: the roles that were given a session of an earlier daemon.
        settled: whether all that is served is kept, or cannot be.
    """

    def __init__(self, *, store: Store, keepers: Keepers, clock: Clock, skew: Skew) -> None:
        self._store = store
        self._keepers = keepers
        self._clock = clock
        self._skew = skew
        self._boot = boot_id()
        self._place: Place | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sessions")
        self._news = asyncio.Event()
        self._saved = True
        self._complained = False
        self._given: dict[str, KeptSession] = {}
        self._taken_in_at: Moment | None = None
        self._kept: dict[str, _Live] = {}
        self.settled = asyncio.Event()
        self.settled.set()
        self.kept_in: str | None = None
        self.restored: tuple[str, ...] = ()

    async def restore(self, config: Config, around: Surroundings, notifier: Notifier) -> None:
        """Serve what an earlier daemon left, as far as it still lives and its role is the same.

        Args:
            config: says where.
            around: the daemon's; without a state directory nothing is kept.
            notifier: speaks to the service manager.

        Raises:
            ConfigError: the only place that sessions may be kept in cannot be used.
        """
        wanted = config.persist_sessions
        if around.state_directory is None:
            return
        places = PlaceSurroundings(
            directory=around.state_directory,
            environment=around.environment,
            notifier=notifier,
            stored=around.stored,
            key_file=config.persist_key_file,
            insisted=wanted is not None and len(wanted) == 1,
        )
        loop = asyncio.get_running_loop()
        chosen = await loop.run_in_executor(self._thread, choose, wanted or DEFAULT, places)
        if chosen.refused and wanted is not None and len(wanted) == 1:
            where, why = str(config.path or "configuration"), f"cannot be used: {chosen.refused[0]}"
            raise ConfigError([Problem(file=where, line=0, key="persist_sessions", message=why)])
        if wanted is not None:
            level = logging.WARNING if chosen.refused else logging.INFO
            because = f" ({'; '.join(chosen.refused)})" if chosen.refused else ""
            logger.log(level, "sessions are kept in: %s%s", chosen.name or "nothing", because)
        elif chosen.name is not None:
            logger.info("sessions are kept in: %s", chosen.name)
        if chosen.damaged is not None:
            logger.warning("sessions of before are lost: %s", chosen.damaged)
        if chosen.place is None:
            return
        self._place, self.kept_in = chosen.place, chosen.name
        self._take_in(_read(chosen.texts))
        self._store.changed = self._change
        self._change()  # what is of no use any more is kept no longer

    async def plan(self, schedule: Schedule, random: Random) -> None:
        """Tell the keepers when the restored sessions are due, now that botocore is there.

        That is as if there had been no restart; but at once where the files that they come from say something else
        now, and where the clocks cannot tell how long they have lived for sure.
        """
        changed = await self._changed_origins()
        for role, kept in self._given.items():
            state = self._store.state(role)
            unchanged = state is not None and state.credentials is kept.credentials and role not in changed
            if unchanged and self._taken_in_at is not None and kept.schedule_holds(self._taken_in_at):
                issued = kept.credentials.last_updated
                self._keepers.begin(role, schedule(kept.credentials, issued, random) - self._skew.noticed)
        self._given = {}

    async def run(self) -> None:
        """Keep what changes: the first change at once, those that follow it together."""
        while True:
            await self._news.wait()
            self._news.clear()
            began = self._clock.elapsed()
            await self._save()
            if not self._news.is_set():
                self.settled.set()
            took = (self._clock.elapsed() - began).total_seconds()
            await asyncio.sleep(max(GATHER, PART * took))

    async def close(self) -> None:
        """Keep what has changed last."""
        if self._place is not None and not self._saved:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_CLOSE):
                    await self._save()
        self._thread.shutdown(wait=False)

    def _take_in(self, kept: list[KeptSession]) -> None:
        at = self._taken_in_at = self._moment()
        seen = [one.observation for one in kept if at.same_boot(one.kept) and one.observation is not None]
        if seen and self._skew.observation is None:
            self._skew.observation = max(seen, key=lambda one: one.elapsed)
        for one in kept:
            issued = one.issued(at)
            if issued is None or one.configured != self._keepers.configured(one.role):
                continue
            if self._store.restore(one.role, one.credentials, issued):
                self._given[one.role] = one
                now_kept = replace(one, elapsed_at_issue=issued, kept=at)
                self._kept[one.role] = _Live(session=now_kept, text=now_kept.to_json())
                end = f"{one.credentials.expiration:%Y-%m-%d %H:%M:%S} UTC"
                logger.info("role %s: session %s until %s, as before", one.role, one.credentials.access_key_id, end)
        self.restored = tuple(self._given)

    async def _changed_origins(self) -> set[str]:
        files = {role: self._keepers.origin(role) for role in self._given}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_LOOK):
                seen = await asyncio.to_thread(_fingerprints, set(files.values()))
                return {role for role, paths in files.items() if seen[paths] != self._given[role].origin}
        return set()

    def _change(self) -> None:
        self._saved = False
        self.settled.clear()
        self._news.set()

    async def _save(self) -> None:
        """Keep what lives now; a failure is told once, and tried again later."""
        self._saved = True
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._write, self._live())
        except asyncio.CancelledError:
            self._saved = False
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, sessions are served all the same
            self._saved = False
            loop.call_later(TRY_AGAIN, self._change)
            if not self._complained:
                what = error if isinstance(error, PlaceError) else type(error).__name__
                logger.warning("sessions cannot be kept in %s: %s", self.kept_in, what)
            self._complained = True
        else:
            self._complained = False

    def _live(self) -> list[_Live]:
        at = self._moment()
        return [live for role in self._store.roles() if (live := self._of(role, at)) is not None]

    def _of(self, role: str, at: Moment) -> _Live | None:
        """Return a role's session, if it has one; long-term keys, which have no token, are none."""
        state, configured = self._store.state(role), self._keepers.configured(role)
        if state is None or state.credentials is None or configured is None or not state.credentials.session_token:
            return None
        lives = self._store.remaining(state)
        if lives <= timedelta():
            return None
        kept = self._kept.get(role)
        if kept is not None and kept.session.credentials is state.credentials and kept.session.configured == configured:
            return replace(kept, lives=lives)
        session = KeptSession(
            role=role,
            configured=configured,
            origin=None,
            credentials=state.credentials,
            elapsed_at_issue=state.elapsed_at_issue,
            kept=at,
            observation=self._skew.observation,
        )
        return _Live(session=session, files=self._keepers.origin(role), lives=lives)

    def _write(self, lives: list[_Live]) -> None:
        """Write, in our thread."""
        seen = _fingerprints({live.files for live in lives if live.text is None})
        kept: dict[str, _Live] = {}
        entries: dict[str, Entry] = {}
        for live in lives:
            session, text = live.session, live.text
            if text is None:
                session = replace(session, origin=seen[live.files])
                text = session.to_json()
            kept[session.role] = _Live(session=session, text=text)
            entries[session.role] = Entry(text=text, lives=live.lives.total_seconds())
        self._kept = kept
        if self._place is not None:
            self._place.write(entries)

    def _moment(self) -> Moment:
        return Moment(now=self._clock.now(), elapsed=self._clock.elapsed(), boot=self._boot)


def _fingerprints(sets: Iterable[tuple[Path, ...] | None]) -> dict[tuple[Path, ...] | None, str | None]:
    """Return a digest for each set of files; roles that share a source share it."""
    return {paths: fingerprint(paths) if paths is not None else None for paths in sets}


def _read(texts: Iterable[bytes]) -> list[KeptSession]:
    """Return what can be read."""
    sessions = []
    for text in texts:
        try:
            sessions.append(KeptSession.from_json(text))
        except ValueError as error:
            logger.warning("%s, and lost", error)
    return sessions
