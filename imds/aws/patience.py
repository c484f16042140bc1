"""A source that failed is asked again once, for every role that shares it, and not before that may help.

After a fault the schedule's back-off counts for all of them together. Where a person must act first (a sign-in, a code,
a newer token), nobody is asked until something that the person touches changes; looking at files asks nobody.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from random import SystemRandom
from typing import TYPE_CHECKING

from imds.core.errors import Action, CredentialsError
from imds.core.schedule import next_retry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

LOOK_AGAIN = timedelta(seconds=5)
"""Between two looks at the files."""

TRY_ANYWAY = timedelta(minutes=10)
"""While waiting for a person: something else than the files may have changed."""

SAME_LOOK = timedelta(seconds=1)
"""Roles that look within this time share one look."""

MOST_FILES = 200

_NEVER = datetime.min.replace(tzinfo=UTC)


class Watched:
    """Files and folders whose change means that a source may say something else now."""

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        self._paths = tuple(paths)

    def __bool__(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._paths)

    def look(self) -> object:
        """Return something that differs once one of them has changed; blocks for a moment only."""
        return tuple(_state(path) for path in _files(self._paths))


class Patience:
    """Remembers that a source failed.

    Args:
        watched: changes when it may succeed again.
        waits_for: what a person has to do where the failure does not say; completes "waiting for …".
    """

    def __init__(self, watched: Watched | None = None, *, waits_for: str | None = None) -> None:
        self._watched = watched or Watched()
        self._waits_for = waits_for
        self._random = SystemRandom()
        self._failure: CredentialsError | None = None
        self._failures = 0
        self._until = self._looked = _NEVER
        self._seen: object = None

    def check(self, now: datetime) -> None:
        """Let an attempt pass when it may succeed.

        Raises:
            CredentialsError: the last failure, since nothing has changed.
        """
        if self._failure is None or now >= self._until:
            return
        if now - self._looked >= SAME_LOOK:
            self._looked = now
            if self._watched.look() != self._seen:
                self._until = _NEVER
                return
        raise self._failure.but(again_after=self._next_look(now))

    def failed(self, failure: CredentialsError, now: datetime) -> CredentialsError:
        """Return ``failure`` as the roles should take it; it counts for all of them from now on."""
        self._failures += 1
        self._seen, self._looked = self._watched.look(), now
        if failure.action is Action.REAUTHENTICATE and self._watched:
            self._until = now + TRY_ANYWAY
        else:
            self._until = next_retry(failure.action, self._failures, now, self._random)
        waits_for = self._waits_for if failure.action is Action.REAUTHENTICATE else None
        self._failure = failure.but(waits_for=waits_for)
        return self._failure.but(again_after=self._next_look(now))

    def over(self) -> None:
        """Forget the failure: it succeeded, or somebody has just done what it waits for."""
        self._failure, self._failures, self._until = None, 0, _NEVER

    def _next_look(self, now: datetime) -> timedelta:
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
