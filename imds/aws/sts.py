"""The STS calls that make sessions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from imds.core.credentials import Credentials
from imds.core.errors import Action, CredentialsError
from imds.core.roles import identity_arn, session_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from imds.aws.clients import Sts
    from imds.core.roles import RoleSession


class Identity(NamedTuple):
    """What GetCallerIdentity says."""

    account_id: str
    arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCredentials:
    """Credentials that sign an STS call; ``expiration`` is None where the source does not say (UTC)."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    expiration: datetime | None

    def __post_init__(self) -> None:
        """Refuse what no key is: such a text would be repeated by whatever fails to send it.

        Raises:
            CredentialsError: one of the parts has a character that no key has.
        """
        for text in (self.access_key_id, self.secret_access_key, self.session_token or ""):
            if not (text.isascii() and text.isprintable()):
                raise CredentialsError(
                    "InvalidKeys", "a key or token has a line break or another odd character", action=Action.CONFIG
                )

    @property
    def temporary(self) -> bool:
        """Whether they belong to a session; such cannot call GetSessionToken, and a chained role lives 1 h at most."""
        return self.session_token is not None


def assume_role_parameters(session: RoleSession, duration: timedelta) -> dict[str, Any]:
    """Return the parameters of AssumeRole; what was not configured is not sent."""
    optional: dict[str, Any] = {
        "RoleArn": session.role_arn,
        "RoleSessionName": session.role_session_name,
        "ExternalId": session.external_id,
        "Policy": session.policy,
        "PolicyArns": [{"arn": arn} for arn in session.policy_arns],
        "Tags": [{"Key": key, "Value": value} for key, value in session.tags],
        "TransitiveTagKeys": list(session.transitive_tags),
        "SourceIdentity": session.source_identity,
    }
    asked = {name: value for name, value in optional.items() if value}
    return asked | {"DurationSeconds": int(duration.total_seconds())}


def assume_role(sts: Sts, session: RoleSession, duration: timedelta, now: datetime) -> Credentials:
    """Return a session of ``session.role_arn``; blocks."""
    answer = sts.call("assume_role", **assume_role_parameters(session, duration))
    return _of_role(answer, session.role_arn, duration, now)


def assume_role_with_web_identity(
    sts: Sts, session: RoleSession, token: str, duration: timedelta, now: datetime
) -> Credentials:
    """Return a session of ``session.role_arn`` on the word of an OIDC provider; blocks."""
    known = ("RoleArn", "RoleSessionName", "DurationSeconds", "Policy", "PolicyArns")
    answer = sts.call("assume_role_with_web_identity", **_only(known, session, duration), WebIdentityToken=token)
    return _of_role(answer, session.role_arn, duration, now)


def assume_role_with_saml(
    sts: Sts, session: RoleSession, offer: tuple[str, str], assertion: str, duration: timedelta, now: datetime
) -> Credentials:
    """Return a session on the word of a SAML provider; ``offer`` are the ARNs of role and provider; blocks."""
    role_arn, principal_arn = offer
    parameters = _only(("DurationSeconds", "Policy", "PolicyArns"), session, duration)
    answer = sts.call(
        "assume_role_with_saml",
        **parameters,
        RoleArn=role_arn,
        PrincipalArn=principal_arn,
        SAMLAssertion=assertion,
    )
    return _of_role(answer, role_arn, duration, now)


def assume_root(
    sts: Sts, target_principal: str, task_policy_arn: str, duration: timedelta, now: datetime
) -> Credentials:
    """Return a root session of a member account, for the task that a policy of AWS's names; blocks."""
    answer = sts.call(
        "assume_root",
        TargetPrincipal=target_principal,
        TaskPolicyArn={"arn": task_policy_arn},
        DurationSeconds=int(duration.total_seconds()),
    )
    partition = task_policy_arn.split(":")[1]
    arn = f"arn:{partition}:iam::{target_principal}:root"
    return _credentials(answer["Credentials"], duration, now=now, account_id=target_principal, arn=arn)


def get_session_token(sts: Sts, duration: timedelta, now: datetime) -> Credentials:
    """Return a session of the long-term keys that sign; blocks."""
    answer = sts.call("get_session_token", DurationSeconds=int(duration.total_seconds()))
    identity = get_caller_identity(sts)
    return _credentials(
        answer["Credentials"], duration, now=now, account_id=identity.account_id, arn=identity_arn(identity.arn)
    )


def get_caller_identity(sts: Sts) -> Identity:
    """Return whose the keys are that sign; blocks."""
    answer = sts.call("get_caller_identity")
    return Identity(str(answer["Account"]), str(answer["Arn"]))


def duration_refused(error: CredentialsError) -> bool:
    """Whether AWS refused a session because the role's MaxSessionDuration is shorter."""
    return error.code in {"ValidationError", "ValidationException"} and "durationseconds" in error.message.lower()


def naming_missing_trust(error: CredentialsError, session: RoleSession) -> CredentialsError:
    """Return a denial with the statement that the role's trust policy lacks for a session's tags or source identity.

    AWS names the action that it denies, where there is one to name; else what the session asks for besides may be it.
    Source: IAM user guide, "Pass session tags in AWS STS", "Monitor and control actions taken with assumed roles".
    """
    if error.code not in {"AccessDenied", "AccessDeniedException"}:
        return error
    wanted = {"sts:TagSession": bool(session.tags), "sts:SetSourceIdentity": session.source_identity is not None}
    asked = [action for action, is_asked in wanted.items() if is_asked]
    named = [action for action in asked if action in error.message]
    if not asked or ("sts:" in error.message and "sts:AssumeRole" not in error.message and not named):
        return error
    must = "must" if named else "may have to"
    actions = " and ".join(named or asked)
    hint = f"the role's trust policy {must} allow {actions} beside sts:AssumeRole"
    return CredentialsError(error.code, f"{error.message} ({hint})", action=error.action)


def source_refused(error: CredentialsError) -> bool:
    """Whether AWS does not take the keys that signed, so that newer ones may do better."""
    return error.action is not Action.CLOCK and error.code in {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
    }


def _only(names: tuple[str, ...], session: RoleSession, duration: timedelta) -> dict[str, Any]:
    """Return the parameters of ``session`` that an unsigned AssumeRole call knows: no tags, no external id."""
    return {name: value for name, value in assume_role_parameters(session, duration).items() if name in names}


def _of_role(answer: Mapping[str, Any], role_arn: str | None, duration: timedelta, now: datetime) -> Credentials:
    caller_arn = str(answer["AssumedRoleUser"]["Arn"])  # without the path that the role's ARN may have
    return _credentials(
        answer["Credentials"],
        duration,
        now=now,
        account_id=caller_arn.split(":")[4],
        arn=role_arn or identity_arn(caller_arn),
        role_session_name=session_name(caller_arn),
    )


def _credentials(
    given: Mapping[str, Any],
    duration: timedelta,
    *,
    now: datetime,
    account_id: str,
    arn: str,
    role_session_name: str | None = None,
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
        role_session_name=role_session_name,
    )
