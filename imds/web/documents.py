"""Wire shapes of the credential documents.

The metadata documents are laid out byte for byte as EC2's (two spaces, `` : ``, this key order, no final newline):
s3fs cuts them at commas and refuses unknown keys. Times are ``YYYY-MM-DDTHH:MM:SSZ`` and nothing else: minio-py
rejects an offset, Swift traps on a fraction.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from imds.core.timestamps import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imds.core.credentials import Credentials


_COMPACT = json.JSONEncoder(separators=(",", ":"))
_ONE_FIELD_A_LINE = json.JSONEncoder(separators=(",\n  ", " : "))
"""Kept ready, and without ``indent``, which makes json leave C: that takes five times as long."""


class Written:
    """Documents written once a session; a session that is replaced is forgotten with its documents."""

    def __init__(self) -> None:
        self._written: dict[tuple[Callable[[Credentials], str], str], tuple[Credentials, str]] = {}

    def text(self, write: Callable[[Credentials], str], role: str, credentials: Credentials) -> str:
        """Return what ``write`` makes of a role's credentials."""
        written = self._written.get((write, role))
        if written is None or written[0] is not credentials:
            written = self._written[write, role] = credentials, write(credentials)
        return written[1]


def security_credentials(credentials: Credentials) -> str:
    """Return ``iam/security-credentials/ROLE``."""
    return _ec2_layout(_credential_fields(credentials))


def security_credentials_extended(credentials: Credentials) -> str:
    """Return ``iam/security-credentials-extended/ROLE``, which adds the account."""
    return _ec2_layout(_credential_fields(credentials) | {"AccountId": credentials.account_id})


def iam_info(credentials: Credentials, role: str, profile_id: str) -> str:
    """Return ``iam/info``; the instance profile has the role's name, from which PyPI's ec2-metadata reads it."""
    partition = credentials.arn.split(":")[1]
    return _ec2_layout(
        {
            "Code": "Success",
            "LastUpdated": timestamp(credentials.last_updated),
            "InstanceProfileArn": f"arn:{partition}:iam::{credentials.account_id}:instance-profile/{role}",
            "InstanceProfileId": profile_id,
        }
    )


def container_credentials(credentials: Credentials) -> str:
    """Return the container-credentials document, the superset that every client takes (s3fs needs ``RoleArn``)."""
    return _COMPACT.encode(
        {
            "RoleArn": credentials.arn,
            "AccessKeyId": credentials.access_key_id,
            "SecretAccessKey": credentials.secret_access_key,
            "Token": credentials.session_token,
            "Expiration": timestamp(credentials.expiration),
            "AccountId": credentials.account_id,
        }
    )


def container_error(code: str, message: str) -> str:
    """Return an error as the container-credentials endpoint of ECS writes it."""
    return _COMPACT.encode({"code": code, "message": message})


def _credential_fields(credentials: Credentials) -> dict[str, str]:
    return {
        "Code": "Success",
        "LastUpdated": timestamp(credentials.last_updated),
        "Type": "AWS-HMAC",
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "Token": credentials.session_token,
        "Expiration": timestamp(credentials.expiration),
    }


def _ec2_layout(fields: Mapping[str, str]) -> str:
    return "{\n  " + _ONE_FIELD_A_LINE.encode(fields)[1:-1] + "\n}"
