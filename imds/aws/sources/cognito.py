"""Source ``{cognito: …}``: a Cognito identity pool, with logins or as a guest.

The enhanced flow gives credentials of the pool's role; the classic flow gives a token with which a role of ours is
assumed. Source: Cognito developer guide, "Identity pools authentication flow".
"""

from __future__ import annotations

import re
from datetime import UTC
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imds.aws import sts
from imds.aws.federated import Federation
from imds.aws.sts import SourceCredentials
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from imds.aws.clients import Clients
    from imds.aws.sources.evidence import EvidenceReader
    from imds.core.credentials import Credentials
    from imds.core.roles import RoleSession


ANOTHER_IDENTITY = frozenset({"NotAuthorizedException", "ResourceNotFoundException", "ResourceConflictException"})
"""After these the identity is asked for anew. A guest keeps his: each new one would be another."""

_OLD_LOGIN = re.compile(r"login token|token expired", re.IGNORECASE)


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
        except ClientError as error:
            said = error.response["Error"]
            if logins and said.get("Code") in ANOTHER_IDENTITY:
                self._identity_id = None  # the logins may be another person's by now
            if logins and said.get("Code") == "NotAuthorizedException" and _OLD_LOGIN.search(said.get("Message", "")):
                raise CredentialsError(
                    "NotAuthorizedException", said.get("Message", ""), action=Action.REAUTHENTICATE
                ) from error
            raise


def classic_federation(pool: IdentityPool, clients: Clients) -> Federation:
    """Return what gives the pool's token to STS (classic flow)."""

    def assume(evidence: str, session: RoleSession, duration: timedelta, now: datetime) -> Credentials:
        return sts.assume_role_with_web_identity(clients.sts(None), session, evidence, duration, now)

    return Federation(read=pool.open_id_token, assume=assume)
