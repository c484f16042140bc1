"""Sources ``{instance_metadata: …}`` and ``{container: …}``: the machine's own role, where it runs on EC2, ECS or EKS.

botocore's fetchers are used directly, so that they work although the daemon's environment keeps every other part of
botocore away from metadata services. That the endpoint is not one of our own is checked with the configuration.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.utils import ContainerMetadataFetcher, InstanceMetadataFetcher

from imds.aws.sts import SourceCredentials
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TIMEOUT, ATTEMPTS = 2, 2


def load_instance_metadata(endpoint: str) -> SourceCredentials:
    """Return the credentials of the instance's role, IMDSv2 only; blocks."""
    fetcher = InstanceMetadataFetcher(
        timeout=TIMEOUT,
        num_attempts=ATTEMPTS,
        env={},
        config={"ec2_metadata_service_endpoint": endpoint.rstrip("/") + "/", "ec2_metadata_v1_disabled": True},
    )
    given = fetcher.retrieve_iam_role_credentials()
    if not given:
        raise CredentialsError("MetadataService", f"{endpoint} gives no credentials", action=Action.RETRY)
    return SourceCredentials(
        access_key_id=given["access_key"],
        secret_access_key=given["secret_key"],
        session_token=given["token"],
        expiration=datetime.fromisoformat(given["expiry_time"]).astimezone(UTC),
    )


def load_container(url: str, token_file: Path | None) -> SourceCredentials:
    """Return the credentials of the task's or the pod's role; blocks."""
    headers = {"Authorization": token_file.read_text().strip()} if token_file is not None else None
    given: Mapping[str, Any] = ContainerMetadataFetcher().retrieve_full_uri(url, headers=headers)
    return SourceCredentials(
        access_key_id=given["AccessKeyId"],
        secret_access_key=given["SecretAccessKey"],
        session_token=given["Token"],
        expiration=datetime.fromisoformat(given["Expiration"]).astimezone(UTC),
    )
