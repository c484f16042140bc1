"""``metadata_from``: metadata that a file of another program states.

Two kinds are read: configuration files of AWS's amazon-ec2-metadata-mock, and the output of
``aws ec2 describe-instances``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imds.config.imported_metadata.aemm import is_aemm, read_aemm
from imds.config.imported_metadata.describe_instances import is_describe_instances, read_describe_instances
from imds.config.imported_metadata.json_values import parse_json

if TYPE_CHECKING:
    from imds.core.instances import Overlay

__all__ = ["imported_metadata"]


def imported_metadata(file: bytes, *, instance_id: str | None = None) -> Overlay:
    """Return what a file says of an instance.

    Args:
        file: all of it.
        instance_id: whose part of the file is meant; None where it has only one instance.

    Raises:
        ValueError: it is not JSON or of neither kind, a value has a type that it cannot have, or it is not clear which
            instance is meant; a sentence for people.
    """
    content = parse_json(file)
    if is_describe_instances(content):
        return read_describe_instances(content, instance_id=instance_id)
    if is_aemm(content):
        return read_aemm(content, instance_id=instance_id)
    raise ValueError(
        "is neither a configuration file of amazon-ec2-metadata-mock nor the output of aws ec2 describe-instances"
    )
