"""Source ``{session_token: {…}}``, and a profile or keys with ``mfa_serial``: GetSessionToken of long-term keys.

The session has the user's rights, lives up to 36 hours, and serves every role that names the same source: one MFA code
opens all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imds.aws.sts import SourceCredentials
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from imds.aws.clients import Clients
    from imds.aws.mfa import MfaCodes


@dataclass(frozen=True, slots=True, kw_only=True)
class LongTermKeys:
    """Keys of an IAM user, and what makes clients with them."""

    load: Callable[[], SourceCredentials]
    clients: Clients

    def call(self, operation: str, **parameters: Any) -> SourceCredentials:  # noqa: ANN401 - as botocore has it
        """Return the session that STS gives; blocks.

        Raises:
            CredentialsError: the keys are no long-term keys.
        """
        keys = self.load()
        if keys.temporary:
            raise CredentialsError(
                "NotLongTermKeys",
                "AWS makes such a session of an IAM user's long-term keys only, not of another session",
                action=Action.CONFIG,
            )
        given = self.clients.sts(keys).call(operation, **parameters)["Credentials"]
        return SourceCredentials(
            access_key_id=given["AccessKeyId"],
            secret_access_key=given["SecretAccessKey"],
            session_token=given["SessionToken"],
            expiration=given["Expiration"],
        )


def load_session_token(
    keys: LongTermKeys, *, duration: timedelta, mfa_serial: str | None, codes: MfaCodes
) -> SourceCredentials:
    """Return a session of long-term keys; with a device it takes a code, which is not tried twice; blocks."""
    mfa = {"SerialNumber": mfa_serial, "TokenCode": codes.take()} if mfa_serial is not None else {}
    return keys.call("get_session_token", DurationSeconds=int(duration.total_seconds()), **mfa)
