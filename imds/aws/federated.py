"""Roles that are assumed with somebody else's word for who we are: a token, an assertion, a certificate.

AWS takes these calls without keys, so there is no source to chain from: the role's own limits apply, not those of
chaining. What the identity provider says is read once for all roles that it opens.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from imds.aws import sts
from imds.core.errors import Action, CredentialsError
from imds.core.roles import CHAINED_DURATION

if TYPE_CHECKING:
    from collections.abc import Callable

    from imds.aws.patience import Patience, Watched
    from imds.aws.threads import AwsThreads
    from imds.core.credentials import Credentials
    from imds.core.roles import RoleSession

logger = logging.getLogger(__name__)

SAME_WORD = timedelta(seconds=30)
"""A program that prints a token is run once for all roles that want it within this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """The two halves of one kind of federation; both block.

    Attributes:
        read: returns what the provider says of us: a token, an assertion, a certificate and its key.
        give: gives that to AWS for a session of a role and a duration, at a time.
    """

    read: Callable[[], Any]
    give: Callable[[Any, RoleSession, timedelta, datetime], Credentials]


class IdentityProvider:
    """What one provider says of us, shared by all roles that it opens.

    Args:
        exchange: how it is read and given to AWS.
        threads: where that runs.
        watched: the files that it is read from.
        patience: for the person who must sign in first.
    """

    def __init__(self, *, exchange: Exchange, threads: AwsThreads, watched: Watched, patience: Patience) -> None:
        self.give = exchange.give
        self._read = exchange.read
        self._threads = threads
        self._watched = watched
        self._patience = patience
        self._reading = asyncio.Lock()
        self._word: Any = None
        self._read_at = datetime.min.replace(tzinfo=UTC)
        self._seen: object = None

    async def word(self, now: datetime) -> Any:  # noqa: ANN401 - each kind has its own
        """Return what the provider says, read anew unless that was a moment ago and nothing has changed.

        Raises:
            CredentialsError: it says nothing (yet).
        """
        async with self._reading:
            self._patience.check(now)
            seen = self._watched.look()
            if now - self._read_at >= SAME_WORD or seen != self._seen:
                try:
                    self._word = await self._threads.run(self._read)
                except CredentialsError as failure:
                    raise self._patience.failed(failure, now) from failure
                self._read_at, self._seen = now, seen
            return self._word

    def refused(self, failure: CredentialsError, now: datetime) -> CredentialsError:
        """Return AWS's refusal as a role should take it: one of what the provider says counts for all its roles."""
        if failure.action is not Action.REAUTHENTICATE:
            return failure
        self._read_at = datetime.min.replace(tzinfo=UTC)
        return self._patience.failed(failure, now)

    def accepted(self) -> None:
        """Note that AWS has taken it."""
        self._patience.over()


class Federated:
    """Issues sessions of one role on the word of an identity provider.

    Attributes:
        longest: the role's own limit, once AWS refused a longer session; None until then.
    """

    def __init__(self, *, session: RoleSession, provider: IdentityProvider, threads: AwsThreads) -> None:
        self._session = session
        self._provider = provider
        self._threads = threads
        self.longest: timedelta | None = None

    async def issue(self, now: datetime) -> Credentials:
        """Return a new session of the role."""
        word = await self._provider.word(now)
        try:
            credentials = await self._give(word, now)
        except CredentialsError as failure:
            raise self._provider.refused(failure, now) from failure
        self._provider.accepted()
        return credentials

    async def _give(self, word: Any, now: datetime) -> Credentials:  # noqa: ANN401 - as above
        duration = min(self._session.duration, self.longest or self._session.duration)
        try:
            return await self._threads.call_sts(lambda: self._provider.give(word, self._session, duration, now))
        except CredentialsError as error:
            if not (sts.duration_refused(error) and duration > CHAINED_DURATION):
                raise
            logger.warning("AWS allows no session of %s: asking for one hour from now on", duration)
            self.longest = CHAINED_DURATION
        return await self._give(word, now)
