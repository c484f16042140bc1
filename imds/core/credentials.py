"""The credentials of one role session."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Temporary credentials as STS gives them; the secrets stay out of every repr.

    Attributes:
        access_key_id: ``ASIA…``.
        secret_access_key: secret.
        session_token: secret; never empty, because clients cannot use IMDS credentials without one.
        last_updated: when they were issued, UTC.
        expiration: when they end, UTC, by AWS's clock.
        account_id: twelve digits.
        arn: the IAM role (or user) that the session belongs to.
        role_session_name: what CloudTrail calls the session; None for a user's.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    last_updated: datetime
    expiration: datetime
    account_id: str
    arn: str
    role_session_name: str | None = None

    @property
    def lifetime(self) -> timedelta:
        """How long they live from issue to end."""
        return self.expiration - self.last_updated

    def remaining(self, now: datetime) -> timedelta:
        """How long they still live; negative once expired."""
        return self.expiration - now

    def expired(self, now: datetime) -> bool:
        """Whether AWS no longer takes them."""
        return now >= self.expiration
