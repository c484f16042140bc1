"""Where the credentials that assume a role come from: one module per kind of source.

Most kinds are one function that blocks and returns ``SourceCredentials``; ``SharedSource`` makes a source of it that
many roles share. A role of this daemon is a source of its own kind (``role``).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from imds.core.errors import CredentialsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from imds.aws.clients import Clients
    from imds.aws.sts import SourceCredentials
    from imds.aws.threads import AwsThreads
    from imds.aws.waiting import Waiting

KEEP = timedelta(minutes=5)
"""Credentials without a known end are read again after this, so that keys rotated on disk are noticed."""

RESERVE = timedelta(minutes=5)
"""Temporary source credentials are renewed with this much left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSource:
    """Live credentials of a source and an STS client that signs with them (clients may be shared by threads)."""

    credentials: SourceCredentials
    client: Any = field(repr=False)


class Source(Protocol):
    """Gives credentials to assume roles with; shared by all roles that name it."""

    async def open(self, now: datetime, *, not_before: datetime | None = None) -> OpenSource:
        """Return live credentials, loaded anew where the last are old.

        Args:
            now: the time.
            not_before: credentials loaded earlier will not do: AWS refused them, or a new session is wanted.

        Raises:
            CredentialsError: there are none.
        """
        ...


class SharedSource:
    """One load at a time, for every role that waits for it.

    Args:
        load: blocks and returns credentials, or raises what ``imds.aws.errors`` knows.
        waiting: for the person who must act first, where one must.
        clients: makes the STS clients.
        threads: where ``load`` runs.
    """

    def __init__(
        self, *, load: Callable[[], SourceCredentials], clients: Clients, threads: AwsThreads, waiting: Waiting
    ) -> None:
        self._load = load
        self._waiting = waiting
        self._clients = clients
        self._threads = threads
        self._loading = asyncio.Lock()
        self._opened: OpenSource | None = None
        self._good_until = self._loaded = datetime.min.replace(tzinfo=UTC)

    async def open(self, now: datetime, *, not_before: datetime | None = None) -> OpenSource:
        """Return live credentials, loaded anew where the last are old."""
        async with self._loading:
            recent = not_before is None or self._loaded >= not_before
            if self._opened is not None and recent and now < self._good_until:
                return self._opened
            self._opened = None
            self._waiting.check(now)
            try:
                opened = await self._threads.run(self._load_and_open)
            except CredentialsError as failure:
                raise self._waiting.note(failure, now) from failure
            expiration = opened.credentials.expiration
            self._good_until = now + KEEP if expiration is None else expiration - RESERVE
            self._opened, self._loaded = opened, now
            return opened

    def _load_and_open(self) -> OpenSource:
        self._clients.renew()
        credentials = self._load()
        return OpenSource(credentials=credentials, client=self._clients.make("sts", credentials))
