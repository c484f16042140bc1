"""The addresses that AWS's clients have hard-wired."""

from __future__ import annotations

from typing import Final

INSTANCE_METADATA: Final = "169.254.169.254"
INSTANCE_METADATA_6: Final = "fd00:ec2::254"
CONTAINER_CREDENTIALS: Final = ("169.254.170.2", "169.254.170.23")
"""Amazon ECS's, and that of EKS Pod Identity."""

CONTAINER_CREDENTIALS_6: Final = "fd00:ec2::23"
PORT: Final = 80

INSTANCE_METADATA_ADDRESSES: Final = frozenset({INSTANCE_METADATA, INSTANCE_METADATA_6})
CONTAINER_ADDRESSES: Final = frozenset({*CONTAINER_CREDENTIALS, CONTAINER_CREDENTIALS_6})
