"""The paths of the metadata service that have a meaning of their own, below a version."""

from __future__ import annotations

VERSIONS = (
    *(
        "1.0",
        "2007-01-19",
        "2007-03-01",
        "2007-08-29",
        "2007-10-10",
        "2007-12-15",
        "2008-02-01",
        "2008-09-01",
    ),
    *("2009-04-04", "2011-01-01", "2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20"),
    *("2016-04-19", "2016-06-30", "2016-09-02", "2018-03-28", "2018-08-17", "2018-09-24", "2019-10-01"),
    *("2020-10-27", "2021-01-03", "2021-03-23", "2021-07-15", "2022-09-24", "2024-04-11", "latest"),
)
"""Every version that ``GET /`` lists; each answers like ``latest`` (cloud-init asks for dated ones)."""

TOKEN = "api/token"  # noqa: S105 - a path
IAM = "meta-data/iam"
IAM_INFO = f"{IAM}/info"
SECURITY_CREDENTIALS = f"{IAM}/security-credentials"
SECURITY_CREDENTIALS_EXTENDED = f"{IAM}/security-credentials-extended"
IDENTITY_DOCUMENT = "dynamic/instance-identity/document"
IDENTITY_SIGNATURES = ("pkcs7", "rsa2048", "signature")
"""Beside the identity document; ``dsa2048`` is not among them: DSA is going out of every library."""
IDENTITY_CREDENTIALS = "meta-data/identity-credentials/ec2"
IDENTITY_INFO = f"{IDENTITY_CREDENTIALS}/info"
IDENTITY_SECURITY_CREDENTIALS = f"{IDENTITY_CREDENTIALS}/security-credentials"
IDENTITY_ROLE = "ec2-instance"
"""The only name below ``identity-credentials/ec2/security-credentials``."""
USER_DATA = "user-data"
TAGS = "meta-data/tags/instance"
"""Below it one path for each tag."""
