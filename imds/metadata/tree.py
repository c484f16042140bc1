"""The paths below ``/latest/`` and their listings.

Everything a listing names answers, because listings are made of the leaves (EC2 user guide, "Instance metadata
categories"; crawlers such as cloud-init retry for minutes on a listed path that does not answer).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imds.core.paths import IAM_INFO, IDENTITY_DOCUMENT, SECURITY_CREDENTIALS, SECURITY_CREDENTIALS_EXTENDED
from imds.metadata.identity_document import identity_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imds.metadata.facts import Facts


def leaves(facts: Facts) -> dict[str, str]:
    """Return the text of every path that has no credentials in it."""
    paths = {
        "meta-data/instance-id": facts.instance_id,
        "meta-data/placement/availability-zone": facts.availability_zone,
        "meta-data/placement/availability-zone-id": facts.availability_zone_id,
        "meta-data/placement/region": facts.region,
        "meta-data/services/domain": facts.domain,
        "meta-data/services/partition": facts.partition,
    }
    if facts.account_id is not None:
        paths[IDENTITY_DOCUMENT] = identity_document(facts)
    return paths


def credential_paths(role: str) -> tuple[str, ...]:
    """Return the paths that exist because a role is attached."""
    return (IAM_INFO, f"{SECURITY_CREDENTIALS}/{role}", f"{SECURITY_CREDENTIALS_EXTENDED}/{role}")


def listings(paths: Iterable[str]) -> dict[str, str]:
    """Return every directory above ``paths`` and its listing: one child a line, directories with a slash.

    The directories right below a version are listed without one, as EC2 does.
    """
    children: dict[str, set[str]] = {}
    for path in paths:
        parts = path.split("/")
        for depth in range(len(parts)):
            slash = "/" if 0 < depth < len(parts) - 1 else ""
            children.setdefault("/".join(parts[:depth]), set()).add(parts[depth] + slash)
    return {directory: "\n".join(sorted(names)) for directory, names in children.items()}


def tree(texts: Mapping[str, str], role: str | None) -> dict[str, str]:
    """Return all paths that answer with a fixed text: leaves and listings; the latter name those of ``role`` too."""
    extra = credential_paths(role) if role is not None else ()
    return {**listings([*texts, *extra]), **texts}
