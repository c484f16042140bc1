"""A source that failed is asked again once, for every role that shares it, and not before that may help.

After a fault the schedule's back-off counts for all of them together. Where a person must act first (a sign-in, a code,
a newer token), nobody is asked until something that the person touches changes; looking at files asks nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from random import SystemRandom
from typing import TYPE_CHECKING

from imds.core.errors import Action, CredentialsError
from imds.core.schedule import next_retry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from imds.core.clock import Clock

LOOK_AGAIN = timedelta(seconds=5)
"""Between two looks at the files."""

LONGEST_LOOK = 5.0
"""Seconds; files on a network that is gone are as good as unchanged."""

TRY_ANYWAY = timedelta(minutes=10)
"""While waiting for a person: something else than the files may have changed."""

SAME_LOOK = timedelta(seconds=1)
"""Roles that look within this time share one look."""

MOST_FILES = 200

LONG_AGO = timedelta(days=-36500)
"""Before anything that ``Clock.elapsed`` returns."""

_SOME_TIME = datetime(2000, 1, 1, tzinfo=UTC)


class Watched:
    """Files and folders whose change means that a source may say something else now."""

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        self._paths = tuple(paths)

    def __bool__(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._paths)

    async def look(self) -> object:
        """Return something that differs once one of them has changed; looks in a thread of its own."""
        if not self._paths:
            return ()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_LOOK):
                return await asyncio.to_thread(self.look_now)
        return None

    def look_now(self) -> object:
        """Likewise; blocks."""
        return tuple(_state(path) for path in _files(self._paths))


class Patience:
    """Remembers that a source failed.

    Args:
        clock: intervals are counted in time that nobody can step.
        watched: changes when it may succeed again.
        waits_for: what a person has to do where the failure does not say; completes "waiting for …".
    """

    def __init__(self, *, clock: Clock, watched: Watched | None = None, waits_for: str | None = None) -> None:
        self._clock = clock
        self._watched = watched or Watched()
        self._waits_for = waits_for
        self._random = SystemRandom()
        self._failure: CredentialsError | None = None
        self._failures = 0
        self._until = self._looked = LONG_AGO
        self._seen: object = None

    async def check(self) -> None:
        """Let an attempt pass when it may succeed.

        Raises:
            CredentialsError: the last failure, since nothing has changed.
        """
        now = self._clock.elapsed()
        if self._failure is None or now >= self._until:
            self._seen = await self._watched.look()
            return
        if now - self._looked >= SAME_LOOK:
            self._looked = now
            seen = await self._watched.look()
            if seen not in (None, self._seen):
                self._seen, self._until = seen, LONG_AGO
                return
        raise self._failure.but(again_after=self._next_look(now))

    def failed(self, failure: CredentialsError) -> CredentialsError:
        """Return ``failure`` of the attempt that ``check`` let pass, as the roles should take it.

        It counts for all of them from now on. What was seen before the attempt is what a change is measured by, so that
        a sign-in during the attempt is noticed.
        """
        self._failures += 1
        now = self._looked = self._clock.elapsed()
        needs_person = failure.action is Action.REAUTHENTICATE
        self._failure = failure.but(waits_for=self._waits_for if needs_person else None, in_a_row=self._failures)
        if needs_person and self._failure.waits_for is not None and self._watched:
            self._until = now + TRY_ANYWAY
        else:
            wait = next_retry(failure.action, self._failures, _SOME_TIME, self._random) - _SOME_TIME
            self._until = now + wait
        return self._failure.but(again_after=self._next_look(now))

    def over(self) -> None:
        """Forget the failure: it succeeded, or somebody has just done what it waits for."""
        self._failure, self._failures, self._until = None, 0, LONG_AGO

    def _next_look(self, now: timedelta) -> timedelta:
        left = self._until - now
        return min(left, LOOK_AGAIN) if self._watched else left


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        yield path
        with contextlib.suppress(OSError):  # a plain file, nothing at all, or none of our business
            yield from sorted(path.iterdir())[:MOST_FILES]


def _state(path: Path) -> tuple[str, int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return str(path), 0, 0, 0
    return str(path), status.st_mtime_ns, status.st_size, status.st_ino
