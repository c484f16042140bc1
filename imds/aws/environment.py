"""What the daemon's own environment must say before the first botocore Session exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

METADATA_VARIABLES = (
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
)


def never_ask_ourselves(environment: MutableMapping[str, str]) -> None:
    """Keep every botocore provider from metadata services: one of them is this daemon.

    Removing botocore's own providers is not enough: ``credential_source = Ec2InstanceMetadata``, ``EcsContainer`` and
    ``defaults_mode = auto`` go there all the same.
    """
    environment["AWS_EC2_METADATA_DISABLED"] = "true"
    for name in METADATA_VARIABLES:
        environment.pop(name, None)
