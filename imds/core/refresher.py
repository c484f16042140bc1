"""One task per role keeps its credentials fresh: the only writer of that role."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

from imds.core.errors import Action, CredentialsError
from imds.core.schedule import NEVER, next_retry

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

    from imds.core.clock import Clock
    from imds.core.credentials import Credentials
    from imds.core.roles import SessionIssuer
    from imds.core.schedule import Schedule
    from imds.core.skew import Skew
    from imds.core.store import Store

logger = logging.getLogger(__name__)

DAY = timedelta(days=1)


async def keep_fresh(
    role: str,
    *,
    issuer: SessionIssuer,
    store: Store,
    clock: Clock,
    skew: Skew,
    schedule: Schedule,
    random: Random,
    first: datetime | None = None,
) -> NoReturn:
    """Renew the credentials of ``role`` for ever; a failure keeps the old ones and never reaches another role.

    Where the role has credentials of an earlier daemon, ``first`` is when they are due; else it begins at once.
    """
    if first is not None:
        await _wait(role, first, store, clock)
    while True:
        began = clock.elapsed()
        try:
            credentials = await _issue(issuer, clock, skew)
        except CredentialsError as failure:
            before = store.state(role)
            known = before is not None and str(before.failure) == str(failure)
            # one that a source repeats from memory has asked nobody
            took = clock.elapsed() - began if failure.again_after is None or not known else None
            failures = store.fail(role, failure, took=took)
            now = clock.now()
            if failure.again_after is not None:
                due = now + failure.again_after
            else:
                due = next_retry(failure.action, failures, now, random)
            _log_failure(role, failure, due - clock.now(), known=known)
        else:
            store.put(role, credentials, took=clock.elapsed() - began)
            due = schedule(credentials, skew.now(), random) - skew.noticed
            logger.info(
                "role %s: new session …%s until %s, %s",
                role,
                credentials.access_key_id[-4:],
                credentials.expiration.strftime("%Y-%m-%d %H:%M:%S UTC"),
                "the last" if due >= NEVER - DAY else f"next refresh in {_span(due - clock.now())}",
            )
        await _wait(role, due, store, clock)


async def _wait(role: str, due: datetime, store: Store, clock: Clock) -> None:
    store.expect(role, due)
    await clock.sleep_until(due)


async def _issue(issuer: SessionIssuer, clock: Clock, skew: Skew) -> Credentials:
    try:
        credentials = await issuer.issue(clock.now())
    except CredentialsError:
        raise
    except Exception as error:
        # A mistake of ours in one role is that role's failure; the traceback is for whoever mends it.
        logger.exception("unexpected failure while issuing a session")
        raise CredentialsError("InternalFailure", type(error).__name__, action=Action.RETRY) from error
    now = skew.now()
    if skew.noticed:  # what was asked at a wrong time was given at the right one
        credentials = replace(credentials, last_updated=now.replace(microsecond=0))
    if credentials.expired(now):
        raise CredentialsError(
            "ExpiredToken",
            f"the new session ended at {credentials.expiration:%Y-%m-%d %H:%M:%S} UTC already: is the clock right?",
            action=Action.CLOCK,
        )
    return credentials


def _log_failure(role: str, failure: CredentialsError, wait: timedelta, *, known: bool) -> None:
    """Say a new failure aloud, repeat it softly, and what only waits for another role not at all."""
    repeated = logging.DEBUG if failure.again_after is not None else logging.INFO
    level = repeated if known else logging.WARNING
    waiting = failure.waiting_for(role)
    calls_for = f"waiting for {waiting}" if waiting else f"{failure.action.value}; next try in {_span(wait)}"
    logger.log(level, "role %s: %s (%s)", role, failure, calls_for)


def _span(span: timedelta) -> str:
    return str(timedelta(seconds=max(0, round(span.total_seconds()))))
