"""What tests of issuers ask them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from imds.core.errors import CredentialsError

if TYPE_CHECKING:
    from imds.core.roles import SessionIssuer


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


async def failure_of(issuer: SessionIssuer) -> CredentialsError:
    """Return why there is no session."""
    with pytest.raises(CredentialsError) as caught:
        await issuer.issue(utc_now())
    return caught.value
