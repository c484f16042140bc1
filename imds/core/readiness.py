"""Whether a role's session can be relied on: it lives, and it is not overdue for its refresh.

A session that still lives after a suspend but should have been renewed meanwhile is served, as always, but it is not
fresh: whoever waits for the daemon to be ready gets to work with the new one.
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from imds.core.errors import Action

if TYPE_CHECKING:
    from imds.core.store import RoleState, Store

OVERDUE = timedelta(seconds=30)
"""A refresh that is due takes some seconds, a few attempts included; later than this it is overdue."""


class Unready(Enum):
    """Why a role is not ready."""

    STARTING = "starting"  # its first attempt has not ended
    WAITING = "waiting"  # for a person, who has to sign in or give a code
    UNAVAILABLE = "unavailable"  # no session, and the last refresh failed
    EXPIRED = "expired"  # the session ended, and no refresh has failed yet: we have only just woken up
    OVERDUE = "overdue"  # the session lives, but it should have been renewed


def unready(state: RoleState | None, store: Store) -> Unready | None:
    """Return why the role of ``state`` is not ready; None where it is."""
    if state is None or not state.tried.is_set():
        return Unready.STARTING
    if store.remaining(state).total_seconds() > 0:
        return Unready.OVERDUE if store.overdue(state) > OVERDUE else None
    if state.failure is None:
        return Unready.EXPIRED
    return Unready.WAITING if state.failure.action is Action.REAUTHENTICATE else Unready.UNAVAILABLE
