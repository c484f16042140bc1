"""Source ``{federation_token: {…}}``: GetFederationToken, a user's session with no more rights than its policies.

It can call no IAM, and of STS only GetCallerIdentity, so it is served as it is and assumes no role.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import timedelta

    from imds.aws.sources.session_token import LongTermKeys
    from imds.aws.sts import SourceCredentials


def load_federation_token(
    keys: LongTermKeys, *, name: str, policy: str | None, policy_arns: tuple[str, ...], duration: timedelta
) -> SourceCredentials:
    """Return a federated user's session; blocks.

    Args:
        keys: of an IAM user who may call GetFederationToken.
        name: of the federated user, 2 to 32 characters.
        policy: compact JSON, or None.
        policy_arns: of managed policies; without any policy the session may do nothing.
        duration: up to 36 hours.
    """
    optional: dict[str, Any] = {"Policy": policy, "PolicyArns": [{"arn": arn} for arn in policy_arns]}
    given = {parameter: value for parameter, value in optional.items() if value}
    return keys.call("get_federation_token", Name=name, DurationSeconds=int(duration.total_seconds()), **given)
