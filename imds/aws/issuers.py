"""Issuers of sessions: roles assumed with a source's credentials, root sessions, and a source's own session."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from imds.aws import sts
from imds.core.credentials import Credentials
from imds.core.errors import Action, CredentialsError
from imds.core.roles import (
    CHAINED_DURATION,
    DEFAULT_DURATION,
    ROOT_DURATION,
    duration_until,
    identity_arn,
    session_name,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime, timedelta

    from imds.aws.sources import OpenSource, SharedSource, Source
    from imds.aws.threads import AwsThreads
    from imds.core.roles import RoleSession

logger = logging.getLogger(__name__)


async def _with_live_source(
    source: Source, attempt: Callable[[OpenSource], Awaitable[Credentials]], now: datetime
) -> Credentials:
    """Return what ``attempt`` gets with the source's credentials; where AWS refuses these, with newer ones."""
    opened = await source.open(now)
    try:
        return await attempt(opened)
    except CredentialsError as error:
        if not sts.source_refused(error):
            raise
        try:
            renewed = await source.reopen(now, opened)
        except CredentialsError as failure:
            raise (failure if failure.waits_for else error) from failure
        if renewed.credentials.access_key_id == opened.credentials.access_key_id:
            raise
        logger.info("the source's credentials were refused (%s) and have been renewed", error.code)
    return await attempt(renewed)


class RoleLimit:
    """What a role's own maximum allows, as far as AWS's refusals have told.

    AWS does not say how much it would allow, so after a refusal it is an hour, which every role allows.

    Attributes:
        longest: None until AWS refused a longer session.
    """

    def __init__(self, role_arn: str | None) -> None:
        self._role = role_arn or "the role"
        self.longest: timedelta | None = None

    async def ask(self, call: Callable[[timedelta], Awaitable[Credentials]], wanted: timedelta) -> Credentials:
        """Return what ``call`` gets for ``wanted``, or for an hour where that is too long."""
        duration = min(wanted, self.longest or wanted)
        try:
            return await call(duration)
        except CredentialsError as error:
            if not (sts.duration_refused(error) and duration > DEFAULT_DURATION):
                raise
            logger.warning("%s allows no session of %s: asking for one hour from now on", self._role, duration)
            self.longest = DEFAULT_DURATION
        return await call(DEFAULT_DURATION)


class AssumedRole:
    """Assumes one role with the credentials of a source.

    Args:
        session: the role's.
        source: whose credentials.
        threads: where AWS is asked.
        ends: when nobody wants its sessions any more, UTC; None for never.
    """

    def __init__(
        self, *, session: RoleSession, source: Source, threads: AwsThreads, ends: datetime | None = None
    ) -> None:
        self._session = session
        self._ends = ends
        self._source = source
        self._threads = threads
        self._limit = RoleLimit(session.role_arn)

    @property
    def longest(self) -> timedelta | None:
        """The longest session that AWS is asked for, once it refused a longer one."""
        return self._limit.longest

    async def issue(self, now: datetime) -> Credentials:
        """Return a new session of the role."""
        return await _with_live_source(self._source, lambda opened: self._assume(opened, now), now)

    async def _assume(self, opened: OpenSource, now: datetime) -> Credentials:
        wanted = self._session.duration if self._ends is None else duration_until(self._ends, now)
        if opened.credentials.temporary:
            wanted = min(wanted, CHAINED_DURATION)
        try:
            return await self._limit.ask(
                lambda duration: self._threads.ask_for_session(
                    lambda: sts.assume_role(opened.sts, self._session, duration, now)
                ),
                wanted,
            )
        except CredentialsError as error:
            raise sts.naming_missing_trust(error, self._session) from error


class AssumedRoot:
    """Gives short root sessions of a member account, for one task (centralized root access)."""

    longest = None

    def __init__(self, *, target_principal: str, task_policy_arn: str, source: Source, threads: AwsThreads) -> None:
        self._target_principal = target_principal
        self._task_policy_arn = task_policy_arn
        self._source = source
        self._threads = threads

    async def issue(self, now: datetime) -> Credentials:
        """Return a new root session."""
        return await _with_live_source(self._source, lambda opened: self._assume(opened, now), now)

    async def _assume(self, opened: OpenSource, now: datetime) -> Credentials:
        return await self._threads.ask_for_session(
            lambda: sts.assume_root(opened.sts, self._target_principal, self._task_policy_arn, ROOT_DURATION, now)
        )


class OwnSession:
    """Serves the session that a source has, or one made of its long-term keys; never long-term keys themselves."""

    longest = None

    def __init__(self, *, duration: timedelta, source: SharedSource, threads: AwsThreads) -> None:
        self._duration = duration
        self._source = source
        self._threads = threads

    async def issue(self, now: datetime) -> Credentials:
        """Return a new session of the source."""
        opened = await self._source.fresh(now)
        if not opened.credentials.temporary:
            return await self._threads.ask_for_session(lambda: sts.get_session_token(opened.sts, self._duration, now))
        expiration = opened.credentials.expiration
        if expiration is None:
            raise CredentialsError(
                "UnknownExpiration",
                "the source holds a session token but does not say when it ends: assume a role with it (role_arn), "
                "or use a source that can be renewed",
                action=Action.CONFIG,
            )
        identity = await self._threads.ask_for_session(lambda: sts.get_caller_identity(opened.sts))
        return Credentials(
            access_key_id=opened.credentials.access_key_id,
            secret_access_key=opened.credentials.secret_access_key,
            session_token=opened.credentials.session_token or "",
            last_updated=now.replace(microsecond=0),
            expiration=expiration.replace(microsecond=0),
            account_id=identity.account_id,
            arn=identity_arn(identity.arn),
            role_session_name=session_name(identity.arn),
        )
