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
    return _of_role(client.assume_role(**assume_role_parameters(session, duration)), session, now)


def assume_role_with_web_identity(
    client: Any,  # noqa: ANN401 - as above
    session: RoleSession,
    token: str,
    duration: timedelta,
    now: datetime,
) -> Credentials:
    """Return a session of ``session.role_arn`` on the word of an OIDC provider; blocks."""
    parameters = _federated_parameters(session, duration)
    answer = client.assume_role_with_web_identity(
        **parameters, RoleSessionName=session.role_session_name, WebIdentityToken=token
    )
    return _of_role(answer, session, now)


def assume_role_with_saml(
    client: Any,  # noqa: ANN401 - as above
    session: RoleSession,
    principal_arn: str,
    assertion: str,
    duration: timedelta,
    now: datetime,
) -> Credentials:
    """Return a session of ``session.role_arn`` on the word of a SAML provider; blocks."""
    parameters = _federated_parameters(session, duration)
    answer = client.assume_role_with_saml(**parameters, PrincipalArn=principal_arn, SAMLAssertion=assertion)
    return _of_role(answer, session, now)


def get_session_token(client: Any, duration: timedelta, now: datetime) -> Credentials:  # noqa: ANN401 - as above
    """Return a session of the long-term keys that ``client`` signs with; blocks."""
    answer = client.get_session_token(DurationSeconds=int(duration.total_seconds()))
    account_id, arn = get_caller_identity(client)
    return _credentials(answer["Credentials"], now=now, account_id=account_id, arn=arn)


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


def _federated_parameters(session: RoleSession, duration: timedelta) -> dict[str, Any]:
    """Return the parameters that the unsigned AssumeRole calls share; they know no tags and no external id."""
    known = ("RoleArn", "DurationSeconds", "Policy", "PolicyArns")
    return {name: value for name, value in assume_role_parameters(session, duration).items() if name in known}


def _of_role(answer: Mapping[str, Any], session: RoleSession, now: datetime) -> Credentials:
    account_id = str(answer["AssumedRoleUser"]["Arn"]).split(":")[4]
    return _credentials(answer["Credentials"], now=now, account_id=account_id, arn=session.role_arn)


def _credentials(given: Mapping[str, Any], *, now: datetime, account_id: str, arn: str) -> Credentials:
    if not given["SessionToken"]:
        raise CredentialsError("NoSessionToken", "STS gave keys without a session token", action=Action.RETRY)
    return Credentials(
        access_key_id=given["AccessKeyId"],
        secret_access_key=given["SecretAccessKey"],
        session_token=given["SessionToken"],
        last_updated=now.replace(microsecond=0),
        expiration=given["Expiration"].astimezone(UTC).replace(microsecond=0),
        account_id=account_id,
        arn=arn,
    )
