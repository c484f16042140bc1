"""Roles that are assumed with somebody else's word for who we are: a token, an assertion, a certificate.

AWS takes these calls without keys, so there is no source to chain from: the role's own limits apply, not those of
chaining. What the identity provider says is read once for all roles that it opens.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from imds.aws.issuers import RoleLimit
from imds.aws.patience import LONG_AGO, LOOK_AGAIN
from imds.core.errors import CredentialsError
from imds.core.roles import duration_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from imds.aws.patience import Patience, Watched
    from imds.aws.threads import AwsThreads
    from imds.core.clock import Clock
    from imds.core.credentials import Credentials
    from imds.core.roles import RoleSession

SAME_EVIDENCE = timedelta(seconds=30)
"""A program that prints a token is run once for all roles that want it within this time."""


TOO_OLD = frozenset({"ExpiredToken", "ExpiredTokenException", "CertificateExpired"})
"""Refusals of what an identity provider said, whoever it is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Federation:
    """The two halves of one kind of federation; both block.

    Attributes:
        read: returns what the provider says of us: a token, an assertion, a certificate and its key.
        assume: gives that to AWS for a session of a role and a duration, at a time.
    """

    read: Callable[[], Any]
    assume: Callable[[Any, RoleSession, timedelta, datetime], Credentials]


class IdentityProvider:
    """What one provider says of us, shared by all roles that it opens.

    Args:
        federation: how it is read and given to AWS.
        threads: where that runs.
        clock: intervals are counted in time that nobody can step.
        watched: the files that it is read from.
        patience: for the person who must sign in first.
    """

    def __init__(
        self, *, federation: Federation, threads: AwsThreads, clock: Clock, watched: Watched, patience: Patience
    ) -> None:
        self.assume = federation.assume
        self._read = federation.read
        self._threads = threads
        self._clock = clock
        self._watched = watched
        self._patience = patience
        self._reading = asyncio.Lock()
        self._evidence: Any = None
        self._read_at = LONG_AGO
        self._seen: object = None

    async def evidence(self) -> Any:  # noqa: ANN401 - each kind has its own
        """Return what the provider says, read anew unless that was a moment ago and nothing has changed.

        Raises:
            CredentialsError: it says nothing (yet).
        """
        async with self._reading:
            await self._patience.check()
            seen = await self._watched.look()
            if self._clock.elapsed() - self._read_at >= SAME_EVIDENCE or seen != self._seen:
                try:
                    self._evidence = await self._threads.load(self._read)
                except CredentialsError as failure:
                    raise self._patience.failed(failure) from failure
                self._read_at, self._seen = self._clock.elapsed(), seen
            return self._evidence

    def too_old(self, evidence: Any, failure: CredentialsError) -> CredentialsError:  # noqa: ANN401 - as above
        """Return a refusal of ``TOO_OLD`` as a role should take it: it counts for all roles of the provider, once."""
        if evidence is not self._evidence:
            return failure.but(again_after=LOOK_AGAIN)  # another role has had it refused already
        self._evidence, self._read_at = None, LONG_AGO
        return self._patience.failed(failure)

    def accepted(self) -> None:
        """Note that AWS has taken it."""
        self._patience.over()


class Federated:
    """Issues sessions of one role on the word of an identity provider.

    Args:
        session: the role's.
        provider: who says who we are.
        threads: where AWS is asked.
        patience: for what AWS refuses to this role alone.
        ends: when nobody wants its sessions any more, UTC; None for never.
    """

    def __init__(
        self,
        *,
        session: RoleSession,
        provider: IdentityProvider,
        threads: AwsThreads,
        patience: Patience,
        ends: datetime | None = None,
    ) -> None:
        self._ends = ends
        self._session = session
        self._provider = provider
        self._threads = threads
        self._patience = patience
        self._limit = RoleLimit(session.role_arn)

    @property
    def longest(self) -> timedelta | None:
        """The longest session that AWS is asked for, once it refused a longer one."""
        return self._limit.longest

    async def issue(self, now: datetime) -> Credentials:
        """Return a new session of the role."""
        await self._patience.check()
        evidence = await self._provider.evidence()
        try:
            credentials = await self._limit.ask(
                lambda duration: self._threads.ask_for_session(
                    lambda: self._provider.assume(evidence, self._session, duration, now)
                ),
                self._session.duration if self._ends is None else duration_until(self._ends, now),
            )
        except CredentialsError as failure:
            raise self._refused(evidence, failure) from failure
        self._patience.over()
        self._provider.accepted()
        return credentials

    def _refused(self, evidence: Any, failure: CredentialsError) -> CredentialsError:  # noqa: ANN401 - as above
        """Return AWS's refusal as this role should take it.

        Unless what the provider said is too old, it is the role's alone: its account may not know the provider, its
        trust policy may want another audience.
        """
        if failure.code in TOO_OLD:
            return self._provider.too_old(evidence, failure)
        return self._patience.failed(failure)
