"""Source ``{session_token: {…}}`` and ``{federation_token: {…}}``: sessions made of long-term keys.

GetSessionToken keeps the user's rights; GetFederationToken narrows them to a policy. Both live up to 36 hours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imds.aws.sts import SourceCredentials
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from imds.aws.clients import Clients


def load_session_token(
    *, load: Callable[[], SourceCredentials], clients: Clients, duration: timedelta
) -> SourceCredentials:
    """Return a session of the long-term keys that ``load`` gives; blocks."""
    client = clients.make("sts", _long_term(load()))
    answer = client.get_session_token(DurationSeconds=int(duration.total_seconds()))
    return _from_answer(answer["Credentials"])


def load_federation_token(
    *,
    load: Callable[[], SourceCredentials],
    clients: Clients,
    name: str,
    policy_arns: tuple[str, ...],
    duration: timedelta,
) -> SourceCredentials:
    """Return a federated user's session, with no more rights than its policies; blocks."""
    client = clients.make("sts", _long_term(load()))
    answer = client.get_federation_token(
        Name=name,
        DurationSeconds=int(duration.total_seconds()),
        PolicyArns=[{"arn": arn} for arn in policy_arns],
    )
    return _from_answer(answer["Credentials"])


def _long_term(credentials: SourceCredentials) -> SourceCredentials:
    if credentials.temporary:
        raise CredentialsError(
            "NotLongTermKeys",
            "a session can only be made of long-term keys, not of another session",
            action=Action.CONFIG,
        )
    return credentials


def _from_answer(given: Any) -> SourceCredentials:  # noqa: ANN401 - botocore's answer
    return SourceCredentials(
        access_key_id=given["AccessKeyId"],
        secret_access_key=given["SecretAccessKey"],
        session_token=given["SessionToken"],
        expiration=given["Expiration"],
    )
