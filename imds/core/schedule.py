"""When to refresh and when to try again: arithmetic only.

Why half of the lifetime: botocore pretends that an IMDS document with less than about 25 minutes left lives longer
(``RefreshableCredentials._evaluate_expiration``), s3fs asks again for every file below 20 minutes, Envoy keeps a
document for an hour. So a one-hour session is renewed with 30 minutes left, a longer one with an hour left.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from imds.core.errors import Action

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from imds.core.credentials import Credentials

    Schedule = Callable[["Credentials", datetime, Random], datetime]

LEAD = timedelta(hours=1)
"""Sessions are renewed with this much left, or at half of their lifetime where that is less."""

JITTER = (0.005, 0.05)
"""Earlier by this part of the lifetime, so that a thousand roles started together do not refresh together."""

SOONEST = timedelta(seconds=15)
"""Never sooner than this: a source that hands out the same short session again must not be hammered."""

SLACK = timedelta(seconds=10)
"""A session that ends this little before nobody wants it any more lasts long enough: AWS counts whole seconds."""

NEVER = datetime(9000, 1, 1, tzinfo=UTC)
"""Longer than anybody waits; times may still be added to it."""

BACK_OFF = {
    Action.RETRY: (1.0, 60.0),  # a fault that passes
    Action.CLOCK: (60.0, 60.0),  # a clock is set by a person or by NTP
    Action.REAUTHENTICATE: (30.0, 600.0),  # a person may have acted where nothing shows it
    Action.DENIED: (5.0, 300.0),  # IAM is eventually consistent: a role made a moment ago is denied at first
    Action.CONFIG: (30.0, 900.0),  # mends itself seldom, but a profile file may be edited under us
}
"""The first and the longest wait in seconds; in between it doubles with every failure in a row."""


def next_refresh(credentials: Credentials, now: datetime, random: Random) -> datetime:
    """Return when to renew ``credentials``, which were issued at ``now`` (UTC)."""
    lifetime = credentials.remaining(now)
    lead = min(LEAD, lifetime / 2)
    due = credentials.expiration - lead - lifetime * random.uniform(*JITTER)
    return max(due, now + SOONEST)


def until(ends: Callable[[], datetime], schedule: Schedule) -> Schedule:
    """Return ``schedule`` for sessions that nobody wants any more once it ``ends``: the last one is not renewed.

    Args:
        ends: says when, by AWS's clock as the credentials' expiration is.
        schedule: when sessions are renewed until then.
    """

    def due(credentials: Credentials, now: datetime, random: Random) -> datetime:
        if credentials.expiration >= ends() - SLACK:
            return NEVER
        return schedule(credentials, now, random)

    return due


def next_retry(action: Action, failures: int, now: datetime, random: Random) -> datetime:
    """Return when to try again after the ``failures``-th failure in a row (counted from 1), with full jitter."""
    first, longest = BACK_OFF[action]
    ceiling = min(longest, first * 2.0 ** min(failures, 16))
    return now + timedelta(seconds=random.uniform(first, ceiling))
