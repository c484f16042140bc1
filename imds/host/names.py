"""Names and groups of users, which a directory such as LDAP may take its time to tell."""

from __future__ import annotations

import grp
import os
import pwd
import time
from typing import TYPE_CHECKING, NamedTuple

from imds.host.shared_lookups import SharedLookUps

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT = 60.0
"""Seconds for which names are not looked up again."""

MOST_KEPT = 1024
THREADS = 2


class Names(NamedTuple):
    """A user's.

    Attributes:
        user: None without a name.
        groups: None where one of them may be any.
    """

    user: str | None
    groups: tuple[str, ...] | None


class UserNames:
    """Looks names up in threads and keeps them for a minute.

    Args:
        look: asks the user database; may take long.
    """

    def __init__(self, look: Callable[[int], Names]) -> None:
        self._look = look
        self._kept: dict[int, tuple[float, Names]] = {}
        self._look_ups = SharedLookUps(self._look_up, threads=THREADS, name="names")

    def known(self, uid: int) -> Names | None:
        """Return what was found out within the last minute; None where nothing was."""
        found, names = self._kept.get(uid, (0.0, None))
        return names if names is not None and time.monotonic() - found < KEPT else None

    def last_known(self, uid: int) -> str | None:
        """Return the name that a user had when it was last looked up, for people to read."""
        return self._kept[uid][1].user if uid in self._kept else None

    async def ask(self, uid: int) -> Names:
        """Return a user's names."""
        return self.known(uid) or await self._look_ups.ask(uid, None) or Names(None, None)

    def close(self) -> None:
        """Give the threads up."""
        self._look_ups.close()

    def _look_up(self, uid: int, questions: frozenset[None]) -> dict[None, Names]:
        names = self._look(uid)
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[uid] = time.monotonic(), names
        return dict.fromkeys(questions, names)


def user_name(uid: int) -> str | None:
    """Return the name of a user, None for a uid without one; takes as long as the user database does."""
    return names_of(uid).user


def names_of(uid: int) -> Names:
    """Return a user's names; takes as long as the user database does."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:  # of no such user, and of a directory that does not answer
        return Names(None, None)
    try:
        groups = [grp.getgrgid(gid).gr_name for gid in os.getgrouplist(entry.pw_name, entry.pw_gid)]
    except KeyError:
        return Names(entry.pw_name, None)
    return Names(entry.pw_name, tuple(groups))
