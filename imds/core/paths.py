"""The paths of the metadata service that have a meaning of their own, below a version."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSIONS = (
    *("1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01"),
    *("2009-04-04", "2011-01-01", "2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20"),
    *("2016-04-19", "2016-06-30", "2016-09-02", "2018-03-28", "2018-08-17", "2018-09-24", "2019-10-01"),
    *("2020-10-27", "2021-01-03", "2021-03-23", "2021-07-15", "2022-09-24", "2024-04-11", "latest"),
)
"""Every version that ``GET /`` lists; each answers like ``latest`` (cloud-init asks for dated ones)."""

TOKEN = "api/token"  # noqa: S105 - a path
META_DATA = "meta-data"
DYNAMIC = "dynamic"
IAM = f"{META_DATA}/iam"
IAM_INFO = f"{IAM}/info"
SECURITY_CREDENTIALS = f"{IAM}/security-credentials"
SECURITY_CREDENTIALS_EXTENDED = f"{IAM}/security-credentials-extended"
IDENTITY_DOCUMENT = f"{DYNAMIC}/instance-identity/document"
IDENTITY_SIGNATURES = ("pkcs7", "rsa2048", "signature")
"""Beside the identity document; ``dsa2048`` is not among them: DSA is going out of every library."""
IDENTITY_CREDENTIALS = f"{META_DATA}/identity-credentials"
IDENTITY_INFO = f"{IDENTITY_CREDENTIALS}/ec2/info"
IDENTITY_SECURITY_CREDENTIALS = f"{IDENTITY_CREDENTIALS}/ec2/security-credentials"
IDENTITY_ROLE = "ec2-instance"
"""The only name below ``identity-credentials/ec2/security-credentials``."""
CREDENTIALS = (IAM, IDENTITY_CREDENTIALS)
"""Below them is what comes from roles alone."""

USER_DATA = "user-data"
TAGS = f"{META_DATA}/tags/instance"
"""Below it one path for each tag."""

PUBLIC_KEYS = f"{META_DATA}/public-keys"
INTERFACES = f"{META_DATA}/network/interfaces/macs"
"""Below it one directory for each MAC."""

REGION = f"{META_DATA}/placement/region"
AVAILABILITY_ZONE = f"{META_DATA}/placement/availability-zone"


def is_below(path: str, *directories: str) -> bool:
    """Whether a path is one of ``directories`` or below it."""
    return any(path == directory or path.startswith(f"{directory}/") for directory in directories)


def directories_above(path: str) -> Iterator[str]:
    """Yield the directories that a path is in, the outermost first."""
    end = path.find("/")
    while end >= 0:
        yield path[:end]
        end = path.find("/", end + 1)
