"""Source ``{web_identity: …}``: an OIDC token of a CI system, Kubernetes or any identity provider.

The token file is read at each renewal, because its writer (kubelet, a CI runner) rotates it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imds.aws import sts
from imds.aws.sources.evidence import read_evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

    from imds.aws.clients import Clients
    from imds.core.credentials import Credentials
    from imds.core.roles import RoleSession


def web_identity_exchange(
    *, clients: Clients, token_file: Path | None, token_command: Sequence[str] | None
) -> Callable[[RoleSession, timedelta, datetime], Credentials]:
    """Return what gives the provider's token to STS."""

    def exchange(session: RoleSession, duration: timedelta, now: datetime) -> Credentials:
        token = read_evidence(file=token_file, command=token_command)
        return sts.assume_role_with_web_identity(clients.make("sts", None), session, token, duration, now)

    return exchange
