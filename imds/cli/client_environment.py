"""The environment in which an unmodified client finds one role's credentials and nothing else.

AWS clients look at keys, profiles and files before they ask a container-credentials endpoint, so whatever would win
over it is taken away.
"""

from __future__ import annotations

import configparser
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

FULL_URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
RELATIVE_URI = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
AUTHORIZATION_TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105 - a variable's name
AUTHORIZATION_TOKEN_FILE = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"  # noqa: S105 - likewise

SHADOWING = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_ACCESS_KEY",  # Go, Java and Ruby read these four, too, and Ruby the next three
    "AWS_SECRET_KEY",
    "AMAZON_ACCESS_KEY_ID",
    "AMAZON_SECRET_ACCESS_KEY",
    "AMAZON_SESSION_TOKEN",
    "AWS_CREDENTIAL_FILE",  # botocore's "ec2-credentials-file"
    "AWS_BEARER_TOKEN_BEDROCK",  # wins over any signature
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    RELATIVE_URI,
    AUTHORIZATION_TOKEN_FILE,
)
"""Variables that win over the two above in some SDK."""

PROFILE_KEYS = frozenset(
    {
        "aws_access_key_id",
        "role_arn",
        "sso_session",
        "sso_start_url",
        "credential_process",
        "web_identity_token_file",
        "login_session",
    }
)
"""Keys of a default profile that win over container credentials in botocore."""

LOCAL_ADDRESSES = (
    *("169.254.169.254", "169.254.170.2", "169.254.170.23", "127.0.0.1", "localhost", "::1"),
    *("fd00:ec2::254", "fd00:ec2::23"),
)
REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What to change in an environment.

    Attributes:
        setting: variables to set; holds the authorization token.
        removing: variables to take away.
        notes: what a person should know of it.
    """

    setting: dict[str, str] = field(repr=False)
    removing: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def applied_to(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return a changed copy."""
        kept = {name: value for name, value in environment.items() if name not in self.removing}
        return {**kept, **self.setting}


def changes(environment: Mapping[str, str], *, url: str, token: str, region: str | None) -> Changes:
    """Return what makes clients use ``url`` with ``token``.

    Args:
        environment: the one to change.
        url: of the container credentials.
        token: opens it; secret.
        region: set where the environment names none.
    """
    setting = {FULL_URI: url, AUTHORIZATION_TOKEN: token}
    if region is not None and not any(environment.get(name) for name in REGION_VARIABLES):
        setting |= dict.fromkeys(REGION_VARIABLES, region)
    for name in ("NO_PROXY", "no_proxy"):
        listed = [entry for entry in environment.get(name, "").split(",") if entry]
        setting[name] = ",".join([*listed, *(entry for entry in LOCAL_ADDRESSES if entry not in listed)])
    notes = []
    for variable, default in (
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
        ("AWS_CONFIG_FILE", "~/.aws/config"),
    ):
        file = Path(environment.get(variable) or default).expanduser()
        if _default_profile_shadows(file):
            setting[variable] = "/dev/null"
            notes.append(f"the default profile in {file} would win over the role, so {variable} is set to /dev/null")
    removing = tuple(name for name in SHADOWING if name in environment)
    return Changes(setting=setting, removing=removing, notes=tuple(notes))


def _default_profile_shadows(file: Path) -> bool:
    """Whether a file's default profile has credentials of its own."""
    parser = configparser.RawConfigParser(strict=False, default_section="\0", allow_no_value=True)
    try:
        parser.read(file)
    except (configparser.Error, UnicodeDecodeError):
        return False  # no client can read it either
    sections = (parser[name] for name in ("default", "profile default") if parser.has_section(name))
    return any(PROFILE_KEYS.intersection(section) for section in sections)
