"""Source ``{cognito: …}``: a Cognito identity pool, with logins or as a guest.

The enhanced flow gives credentials of the pool's role; the classic flow gives a token with which a role of ours is
assumed. Source: Cognito developer guide, "Identity pools authentication flow".
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from imds.aws import sts
from imds.aws.sources.evidence import read_evidence
from imds.aws.sts import SourceCredentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

    from imds.aws.clients import Clients
    from imds.core.credentials import Credentials
    from imds.core.roles import RoleSession


class IdentityPool:
    """One identity pool; the identity is asked for once, since it never changes for the same logins.

    Args:
        clients: makes the Cognito client, with the pool's region.
        pool_id: ``REGION:UUID``.
        logins: by provider, a file or a program that gives its token; none makes a guest.
        custom_role_arn: where the pool lets the login choose a role.
    """

    def __init__(
        self,
        *,
        clients: Clients,
        pool_id: str,
        logins: Mapping[str, tuple[Path | None, Sequence[str] | None]],
        custom_role_arn: str | None = None,
    ) -> None:
        self._clients = clients
        self._pool_id = pool_id
        self._logins = logins
        self._custom_role_arn = custom_role_arn
        self._identity_id: str | None = None

    def load(self) -> SourceCredentials:
        """Return the credentials of the enhanced flow; blocks."""
        client, identity = self._identify()
        if self._custom_role_arn is not None:
            identity["CustomRoleArn"] = self._custom_role_arn
        given = client.get_credentials_for_identity(**identity)["Credentials"]
        return SourceCredentials(
            access_key_id=given["AccessKeyId"],
            secret_access_key=given["SecretKey"],
            session_token=given["SessionToken"],
            expiration=given["Expiration"].astimezone(UTC),
        )

    def classic_exchange(self, sts_clients: Clients) -> Callable[[RoleSession, timedelta, datetime], Credentials]:
        """Return what gives the pool's token to STS (classic flow)."""

        def exchange(session: RoleSession, duration: timedelta, now: datetime) -> Credentials:
            client, identity = self._identify()
            token = client.get_open_id_token(**identity)["Token"]
            return sts.assume_role_with_web_identity(sts_clients.make("sts", None), session, token, duration, now)

        return exchange

    def _identify(self) -> tuple[Any, dict[str, Any]]:
        logins = {
            provider: read_evidence(file=file, command=command) for provider, (file, command) in self._logins.items()
        }
        client = self._clients.make("cognito-identity", None)
        with_logins: dict[str, Any] = {"Logins": logins} if logins else {}
        if self._identity_id is None:
            self._identity_id = client.get_id(IdentityPoolId=self._pool_id, **with_logins)["IdentityId"]
        return client, {"IdentityId": self._identity_id, **with_logins}
