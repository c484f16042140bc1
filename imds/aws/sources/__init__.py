"""Where the credentials that assume a role come from: one module per kind of source.

Most kinds are one function that blocks and returns ``SourceCredentials``; ``SharedSource`` makes a source of it that
many roles share. A role of this daemon is a source of its own kind (``role``), and what an identity provider says of us
is no source of credentials at all (``imds.aws.federated``).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from imds.aws.patience import LONG_AGO
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from imds.aws.clients import Clients, Sts
    from imds.aws.patience import Patience, Watched
    from imds.aws.sts import SourceCredentials
    from imds.aws.threads import AwsThreads
    from imds.core.clock import Clock

KEEP = timedelta(minutes=5)
"""Credentials without a known end are read again after this: a vault may have others by then."""

RESERVE = timedelta(minutes=5)
"""Temporary source credentials are renewed with this much left."""

REFUSED_AGAIN = timedelta(seconds=30)
"""Credentials that AWS refuses are read again at most this often, however many roles they are refused for."""

JUST_NOW = timedelta(seconds=20)
"""Credentials are served as they are only while they are this young."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSource:
    """Live credentials of a source and an STS that they sign for."""

    credentials: SourceCredentials
    sts: Sts = field(repr=False)


class Source(Protocol):
    """Gives credentials to assume roles with; shared by all roles that name it."""

    async def open(self, now: datetime) -> OpenSource:
        """Return live credentials, loaded anew where the last are old.

        Raises:
            CredentialsError: there are none.
        """
        ...

    async def reopen(self, now: datetime, refused: OpenSource) -> OpenSource:
        """Return others than ``refused``, which AWS does not take, or the same where there are no others.

        Raises:
            CredentialsError: there are none.
        """
        ...


class SharedSource:
    """One load at a time, for every role that waits for it.

    Args:
        load: blocks and returns credentials, or raises what ``imds.aws.errors`` knows.
        clients: makes the STS clients.
        threads: where ``load`` runs.
        clock: intervals are counted in time that nobody can step.
        watched: files that the credentials come from; when one changes, they are loaded again.
        patience: for a source that failed, and the person who must act first where one must.

    Attributes:
        failure: why the last load failed; None after one that did not.
        session: when the credentials were loaded, and when they end, UTC; None where there are none, or have no end.
        loaded: called after each load, whatever came of it.
    """

    def __init__(
        self,
        *,
        load: Callable[[], SourceCredentials],
        clients: Clients,
        threads: AwsThreads,
        clock: Clock,
        watched: Watched,
        patience: Patience,
    ) -> None:
        self._load = load
        self._clients = clients
        self._threads = threads
        self._clock = clock
        self._watched = watched
        self._patience = patience
        self._loading = asyncio.Lock()
        self._opened: OpenSource | None = None
        self._good_until = self._loaded = LONG_AGO
        self._seen: object = None
        self.failure: CredentialsError | None = None
        self.session: tuple[datetime, datetime] | None = None
        self.loaded: Callable[[], None] = lambda: None

    async def open(self, now: datetime) -> OpenSource:
        """Return live credentials, loaded anew where the last are old or their file has changed."""
        async with self._loading:
            good = self._opened is not None and self._clock.elapsed() < self._good_until
            if good and self._opened is not None and await self._unchanged():
                return self._opened
            return await self._load_anew(now)

    async def reopen(self, now: datetime, refused: OpenSource) -> OpenSource:
        """Return others than ``refused``, which AWS does not take, or the same where there are no others."""
        async with self._loading:
            if self._opened is not None:
                lately = self._clock.elapsed() - self._loaded < REFUSED_AGAIN and await self._unchanged()
                if self._opened is not refused or lately:
                    return self._opened
            return await self._load_anew(now)

    async def fresh(self, now: datetime) -> OpenSource:
        """Return credentials that were loaded just now, because they are served as they are."""
        async with self._loading:
            if self._opened is not None and self._clock.elapsed() - self._loaded < JUST_NOW:
                return self._opened
            return await self._load_anew(now)

    async def retry(self, now: datetime, *, first: Callable[[], None]) -> OpenSource:
        """Load once more without patience, since somebody does just now (``first``) what this source waits for."""
        async with self._loading:
            first()
            self._patience.over()
            return await self._load_anew(now)

    async def _unchanged(self) -> bool:
        return await self._watched.look() in (None, self._seen)

    async def _load_anew(self, now: datetime) -> OpenSource:
        """Return newly loaded credentials; a failure leaves the old ones to whom they still serve."""
        await self._patience.check()
        seen = await self._watched.look()
        try:
            opened = await self._threads.load(lambda: self._load_and_open(now))
        except CredentialsError as failure:
            self.failure = self._patience.failed(failure)
            self.loaded()
            raise self.failure from failure
        self._patience.over()
        self._opened, self._loaded, self._seen = opened, self._clock.elapsed(), seen
        expiration = opened.credentials.expiration
        self._good_until = self._loaded + (KEEP if expiration is None else expiration - RESERVE - now)
        self.failure, self.session = None, (now, expiration) if expiration is not None else None
        self.loaded()
        return opened

    def _load_and_open(self, now: datetime) -> OpenSource:
        self._clients.renew()
        credentials = self._load()
        ended = credentials.expiration
        if ended is not None and ended <= now:
            what = f"the source's credentials ended at {ended:%Y-%m-%d %H:%M:%S} UTC"
            raise CredentialsError("ExpiredToken", what, action=Action.RETRY)
        return OpenSource(credentials=credentials, sts=self._clients.sts(credentials))
