"""Waiting for a person without hammering anybody: the same answer until something that a sign-in touches changes."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

LOOK_AGAIN = timedelta(seconds=5)
"""Between two looks at the files; a look asks nobody."""

TRY_ANYWAY = timedelta(minutes=10)
"""Something else than the files may have changed."""

TRY_UNSEEN = timedelta(seconds=60)
"""Likewise, where there is no file to look at."""

MOST_FILES = 200


class Waiting:
    """Remembers a failure that only a person can mend; one wait serves every role that shares the source.

    Args:
        watched: files and folders that change when that person has acted.
    """

    def __init__(self, watched: Iterable[Path] = ()) -> None:
        self._watched = tuple(watched)
        self._failure: CredentialsError | None = None
        self._seen: object = None
        self._until: datetime | None = None

    def check(self, now: datetime) -> None:
        """Let an attempt pass when it may succeed.

        Raises:
            CredentialsError: nothing has changed since the last failure.
        """
        if self._failure is None or self._until is None or now >= self._until or self._look() != self._seen:
            self._failure = None
            return
        raise CredentialsError(
            self._failure.code, self._failure.message, action=self._failure.action, again_after=LOOK_AGAIN
        )

    def note(self, failure: CredentialsError, now: datetime) -> CredentialsError:
        """Return ``failure`` as the schedule should take it; wait from now on where it needs a person."""
        if failure.action is not Action.REAUTHENTICATE:
            return failure
        self._failure, self._seen = failure, self._look()
        self._until = now + (TRY_ANYWAY if self._watched else TRY_UNSEEN)
        return CredentialsError(failure.code, failure.message, action=failure.action, again_after=LOOK_AGAIN)

    def _look(self) -> object:
        return tuple(_state(path) for path in _files(self._watched))


def profile_files(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return what a sign-in of a profile touches: AWS's own files and caches."""
    aws = Path("~/.aws").expanduser()
    config = Path(environment.get("AWS_CONFIG_FILE") or aws / "config").expanduser()
    credentials = Path(environment.get("AWS_SHARED_CREDENTIALS_FILE") or aws / "credentials").expanduser()
    return (config, credentials, aws / "sso" / "cache", aws / "login" / "cache", aws / "cli" / "cache")


def _files(watched: Iterable[Path]) -> Iterator[Path]:
    for path in watched:
        yield path
        if path.is_dir():
            yield from sorted(path.iterdir())[:MOST_FILES]


def _state(path: Path) -> tuple[str, int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return str(path), 0, 0, 0
    return str(path), status.st_mtime_ns, status.st_size, status.st_ino
