"""Where the credentials that assume a role come from: one module per kind of source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from imds.aws.sts import SourceCredentials


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

    async def client(self, credentials: SourceCredentials) -> Any:  # noqa: ANN401 - botocore makes its clients at run time
        """Return an STS client for other credentials, with this source's region, endpoint, proxy and CA settings."""
        ...
