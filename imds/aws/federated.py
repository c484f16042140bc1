"""Roles that are assumed with somebody else's word for who we are: an OIDC token or a SAML assertion.

STS takes these calls unsigned, so there is no source to chain from: the role's own limits apply, not those of chaining.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imds.aws import sts
from imds.core.errors import CredentialsError
from imds.core.roles import CHAINED_DURATION

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from imds.aws.threads import AwsThreads
    from imds.aws.waiting import Waiting
    from imds.core.credentials import Credentials
    from imds.core.roles import RoleSession


class Federated:
    """Issues sessions of one role on the word of an identity provider.

    Args:
        session: the role and what is asked of it.
        exchange: blocks; gives the provider's word to STS for a session of a duration.
        threads: where it runs.
        waiting: for the person who must sign in first.

    Attributes:
        longest: the role's own limit, once AWS refused a longer session; None until then.
    """

    def __init__(
        self,
        *,
        session: RoleSession,
        exchange: Callable[[RoleSession, timedelta, datetime], Credentials],
        threads: AwsThreads,
        waiting: Waiting,
    ) -> None:
        self._waiting = waiting
        self._session = session
        self._exchange = exchange
        self._threads = threads
        self.longest: timedelta | None = None

    async def issue(self, now: datetime) -> Credentials:
        """Return a new session of the role."""
        self._waiting.check(now)
        try:
            return await self._give(now)
        except CredentialsError as failure:
            raise self._waiting.note(failure, now) from failure

    async def _give(self, now: datetime) -> Credentials:
        duration = min(self._session.duration, self.longest or self._session.duration)
        try:
            return await self._threads.call_sts(lambda: self._exchange(self._session, duration, now))
        except CredentialsError as error:
            if not (sts.duration_refused(error) and duration > CHAINED_DURATION):
                raise
            self.longest = CHAINED_DURATION
        return await self._give(now)
