"""Source ``{cognito: …}``: a Cognito identity pool, with logins or as a guest.

The enhanced flow gives credentials of the pool's role; the classic flow gives a token with which a role of ours is
assumed. Source: Cognito developer guide, "Identity pools authentication flow".
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imds.aws import sts
from imds.aws.federated import Exchange
from imds.aws.sts import SourceCredentials

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from imds.aws.clients import Clients
    from imds.aws.sources.evidence import EvidenceReader
    from imds.core.credentials import Credentials
    from imds.core.roles import RoleSession


class IdentityPool:
    """One identity pool; the identity is asked for once, since the same logins always have the same one.

    Args:
        clients: makes the Cognito client.
        pool_id: ``REGION:UUID``.
        logins: by provider, what reads its token; none makes a guest.
        custom_role_arn: where the pool lets the login choose a role.
    """

    def __init__(
        self,
        *,
        clients: Clients,
        pool_id: str,
        logins: Mapping[str, EvidenceReader],
        custom_role_arn: str | None = None,
    ) -> None:
        self._clients = clients
        self._pool_id = pool_id
        self._logins = logins
        self._custom_role_arn = custom_role_arn
        self._identity_id: str | None = None

    def load(self) -> SourceCredentials:
        """Return the credentials of the enhanced flow; blocks."""
        custom = {"CustomRoleArn": self._custom_role_arn} if self._custom_role_arn is not None else {}
        given = self._ask("get_credentials_for_identity", **custom)["Credentials"]
        return SourceCredentials(
            access_key_id=given["AccessKeyId"],
            secret_access_key=given["SecretKey"],
            session_token=given["SessionToken"],
            expiration=given["Expiration"].astimezone(UTC),
        )

    def open_id_token(self) -> str:
        """Return the token of the classic flow; blocks."""
        return str(self._ask("get_open_id_token")["Token"])

    def _ask(self, operation: str, **parameters: str) -> Any:  # noqa: ANN401 - botocore's answer
        logins = {provider: token.read() for provider, token in self._logins.items()}
        identity: dict[str, Any] = {"Logins": logins} if logins else {}
        client = self._clients.make("cognito-identity", None, region=self._pool_id.partition(":")[0])
        if self._identity_id is None:
            self._identity_id = client.get_id(IdentityPoolId=self._pool_id, **identity)["IdentityId"]
        try:
            return getattr(client, operation)(IdentityId=self._identity_id, **identity, **parameters)
        except ClientError:
            self._identity_id = None  # the logins may be another person's by now
            raise


def classic_exchange(pool: IdentityPool, clients: Clients) -> Exchange:
    """Return what gives the pool's token to STS (classic flow)."""

    def give(word: str, session: RoleSession, duration: timedelta, now: datetime) -> Credentials:
        return sts.assume_role_with_web_identity(clients.sts(None), session, word, duration, now)

    return Exchange(read=pool.open_id_token, give=give)
