"""Source ``{web_identity: …}``: an OIDC token of a CI system, Kubernetes or any identity provider.

The token file is read at each renewal, because its writer (kubelet, a CI runner) rotates it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imds.aws import sts
from imds.aws.federated import Federation

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from imds.aws.clients import Clients
    from imds.aws.sources.evidence import EvidenceReader
    from imds.core.credentials import Credentials
    from imds.core.roles import RoleSession


def web_identity_federation(clients: Clients, token: EvidenceReader) -> Federation:
    """Return what gives the provider's token to STS."""

    def assume(evidence: str, session: RoleSession, duration: timedelta, now: datetime) -> Credentials:
        return sts.assume_role_with_web_identity(clients.sts(None), session, evidence, duration, now)

    return Federation(read=token.read, assume=assume)
