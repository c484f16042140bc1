"""The newest credentials and the last failure of every role: where the writing and the reading side meet."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from imds.core.errors import PASSES_BY_ITSELF, CredentialsNotReadyError, CredentialsUnavailableError
from imds.core.refreshes import Refreshes

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from imds.core.clock import Clock
    from imds.core.credentials import Credentials
    from imds.core.errors import CredentialsError
    from imds.core.skew import Skew

LISTED_UNTIL = timedelta(seconds=10)
"""The list stops naming a role this long before its document ends.

A client that was just told the name still gets the document; awscrt aborts its process when it does not.
"""


@dataclass(slots=True, kw_only=True)
class RoleState:
    """What is known of one role.

    Attributes:
        credentials: the newest, possibly expired meanwhile.
        elapsed_at_issue: ``Clock.elapsed()`` when they came, so that a wall clock stepped back revives nothing.
        failure: the last failure since then, None after a success.
        failures: how many in a row.
        next_attempt: when the writer acts next, UTC.
        renew_by: when these credentials are to be renewed, UTC.
        renew_by_elapsed: likewise, as ``Clock.elapsed()`` counts.
        tried: set once the first attempt ended, either way.
        ended: set by the end of each attempt; cleared by who waits for the next.
    """

    credentials: Credentials | None = None
    elapsed_at_issue: timedelta = timedelta()
    failure: CredentialsError | None = None
    failures: int = 0
    next_attempt: datetime | None = None
    renew_by: datetime | None = None
    renew_by_elapsed: timedelta = timedelta()
    tried: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Store:
    """One writer per role puts, everyone reads; nothing here waits.

    Attributes:
        changed: called whenever there are other credentials, or fewer.
    """

    def __init__(self, *, clock: Clock, skew: Skew) -> None:
        self._clock = clock
        self._skew = skew
        self._roles: dict[str, RoleState] = {}
        self.refreshes = Refreshes()
        self.changed: Callable[[], None] = lambda: None

    def add(self, role: str) -> None:
        """Know ``role`` from now on; one that is known already keeps its credentials."""
        self._roles.setdefault(role, RoleState())
        self.refreshes.add(role)

    def remove(self, role: str) -> None:
        """Forget ``role`` and its credentials; whoever waits for it learns that by its absence."""
        state = self._roles.pop(role, None)
        self.refreshes.remove(role)
        if state is not None:
            state.tried.set()
            state.ended.set()
            self.changed()

    def restore(self, role: str, credentials: Credentials, elapsed_at_issue: timedelta) -> bool:
        """Serve credentials that came to an earlier daemon, as long as they live; return whether they do.

        Args:
            role: is known, and has none yet.
            credentials: as they came.
            elapsed_at_issue: ``Clock.elapsed()`` then.
        """
        restored = RoleState(credentials=credentials, elapsed_at_issue=elapsed_at_issue)
        if self.remaining(restored) <= timedelta():
            return False
        before = self._roles[role]
        for event in (restored.tried, before.tried, before.ended):
            event.set()
        self._roles[role] = restored
        return True

    def put(self, role: str, credentials: Credentials, *, took: timedelta | None = None) -> None:
        """Serve ``credentials`` from now on; a refresh that ``took`` some time brought them."""
        state = self._roles[role]
        state.credentials = credentials
        state.elapsed_at_issue = self._clock.elapsed()
        state.failure, state.failures = None, 0
        state.renew_by = None
        self.refreshes.note(role, None, took)
        state.tried.set()
        state.ended.set()
        self.changed()

    def fail(self, role: str, failure: CredentialsError, *, took: timedelta | None = None) -> int:
        """Note a failed refresh, which changes nothing about what is served; return how many in a row that makes."""
        state = self._roles[role]
        self.refreshes.note(role, failure, took)
        state.failure = failure
        state.failures = failure.in_a_row if failure.in_a_row is not None else state.failures + 1
        state.tried.set()
        state.ended.set()
        return state.failures

    def expect(self, role: str, due: datetime) -> None:
        """Note when the writer acts next: after a success, that is when what it brought is to be renewed."""
        state = self._roles.get(role)
        if state is None:
            return
        state.next_attempt = due
        if state.failure is None:
            state.renew_by = due
            state.renew_by_elapsed = self._clock.elapsed() + (due - self._clock.now())

    def state(self, role: str) -> RoleState | None:
        """Return what is known of ``role``, None when nothing is."""
        return self._roles.get(role)

    def roles(self) -> list[str]:
        """Return the names of all roles."""
        return list(self._roles)

    def credentials(self, role: str, *, at_least: timedelta = timedelta()) -> Credentials:
        """Return live credentials of ``role`` with more than ``at_least`` left.

        Raises:
            CredentialsNotReadyError: none now, but they will come by themselves.
            CredentialsUnavailableError: none until a person acts, or no such role.
        """
        state = self._roles.get(role)
        if state is None:
            raise CredentialsUnavailableError(f"role {role} is not configured")
        if state.credentials is not None and self.remaining(state) > at_least:
            return state.credentials
        if state.failure is not None and state.failure.action not in PASSES_BY_ITSELF:
            raise CredentialsUnavailableError(f"role {role}: {state.failure}")
        why = state.failure or "its first session is on the way"
        raise CredentialsNotReadyError(f"role {role}: {why}")

    def remaining(self, state: RoleState) -> timedelta:
        """Return how long its credentials live: the lesser of what AWS's clock and the time elapsed say."""
        if state.credentials is None:
            return timedelta()
        lived = self._clock.elapsed() - state.elapsed_at_issue
        return min(state.credentials.remaining(self._skew.now()), state.credentials.lifetime - lived)

    def overdue(self, state: RoleState) -> timedelta:
        """Return for how long its refresh has been due, by the clock that says more; negative before."""
        if state.renew_by is None:
            return timedelta()
        return max(self._clock.now() - state.renew_by, self._clock.elapsed() - state.renew_by_elapsed)
