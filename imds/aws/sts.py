"""The STS calls that make sessions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

from imds.core.credentials import Credentials
from imds.core.errors import Action, CredentialsError
from imds.core.roles import identity_arn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from imds.core.roles import RoleSession


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCredentials:
    """Credentials that sign an STS call; ``expiration`` is None where the source does not say (UTC)."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    expiration: datetime | None

    @property
    def temporary(self) -> bool:
        """Whether they belong to a session; such cannot call GetSessionToken, and a chained role lives 1 h at most."""
        return self.session_token is not None


def assume_role_parameters(session: RoleSession, duration: timedelta) -> dict[str, Any]:
    """Return the parameters of AssumeRole; what was not configured is not sent."""
    optional: dict[str, Any] = {
        "ExternalId": session.external_id,
        "Policy": session.policy,
        "PolicyArns": [{"arn": arn} for arn in session.policy_arns],
        "Tags": [{"Key": key, "Value": value} for key, value in session.tags],
        "TransitiveTagKeys": list(session.transitive_tags),
        "SourceIdentity": session.source_identity,
    }
    return {
        "RoleArn": session.role_arn,
        "RoleSessionName": session.role_session_name,
        "DurationSeconds": int(duration.total_seconds()),
    } | {name: value for name, value in optional.items() if value}


def assume_role(client: Any, session: RoleSession, duration: timedelta, now: datetime) -> Credentials:  # noqa: ANN401 - botocore makes its clients at run time
    """Return a session of ``session.role_arn``; blocks."""
    answer = client.assume_role(**assume_role_parameters(session, duration))
    account_id = str(answer["AssumedRoleUser"]["Arn"]).split(":")[4]
    return _credentials(answer["Credentials"], duration, now=now, account_id=account_id, arn=session.role_arn)


def get_session_token(client: Any, duration: timedelta, now: datetime) -> Credentials:  # noqa: ANN401 - as above
    """Return a session of the long-term keys that ``client`` signs with; blocks."""
    answer = client.get_session_token(DurationSeconds=int(duration.total_seconds()))
    account_id, arn = get_caller_identity(client)
    return _credentials(answer["Credentials"], duration, now=now, account_id=account_id, arn=arn)


def get_caller_identity(client: Any) -> tuple[str, str]:  # noqa: ANN401 - as above
    """Return the account id and the IAM ARN behind the keys that ``client`` signs with; blocks."""
    answer = client.get_caller_identity()
    return str(answer["Account"]), identity_arn(str(answer["Arn"]))


def duration_refused(error: CredentialsError) -> bool:
    """Whether AWS refused a session because the role's MaxSessionDuration is shorter."""
    return error.code == "ValidationError" and "DurationSeconds" in error.message


def source_refused(error: CredentialsError) -> bool:
    """Whether AWS does not take the keys that signed, so that newer ones may do better."""
    return error.code in {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "SignatureDoesNotMatch"}


def _credentials(
    given: Mapping[str, Any], duration: timedelta, *, now: datetime, account_id: str, arn: str
) -> Credentials:
    if not given["SessionToken"]:
        raise CredentialsError("NoSessionToken", "STS gave keys without a session token", action=Action.RETRY)
    expiration = given["Expiration"].astimezone(UTC).replace(microsecond=0)
    return Credentials(
        access_key_id=given["AccessKeyId"],
        secret_access_key=given["SecretAccessKey"],
        session_token=given["SessionToken"],
        # by AWS's clock where ours is slow: the session cannot have begun earlier than it was asked to last
        last_updated=max(now.replace(microsecond=0), expiration - duration),
        expiration=expiration,
        account_id=account_id,
        arn=arn,
    )
