"""Roles: their names and ARNs, what one AssumeRole request says, and who issues sessions."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from imds.core.credentials import Credentials

# STS's own limits; a test holds them against botocore's service model.
MIN_DURATION = timedelta(seconds=900)
MAX_DURATION = timedelta(seconds=43200)
DEFAULT_DURATION = timedelta(hours=1)
CHAINED_DURATION = timedelta(hours=1)
"""A role assumed with temporary credentials lives one hour at most (IAM user guide, "role chaining")."""
MAX_SESSION_TOKEN_DURATION = timedelta(seconds=129600)
"""Of GetSessionToken and GetFederationToken."""
ROOT_DURATION = timedelta(seconds=900)
"""The longest session of AssumeRoot."""
MAX_POLICY = 2048
MAX_POLICY_ARNS = 10
MAX_TAGS = 50
MAX_TAG_KEY = 128
MAX_TAG_VALUE = 256

ROLE_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
"""What IAM allows as a role's name, and so what may stand in a metadata path."""
SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
TAG = re.compile(r"[\w .:/=+@-]*")
ROLE_ARN = re.compile(r"arn:(aws[a-z-]*):iam::(\d{12}):role/(?:[\x21-\x7e]*/)?([\w+=,.@-]{1,64})", re.ASCII)
READ_ONLY_POLICY = "arn:{partition}:iam::aws:policy/ReadOnlyAccess"
POLICY_ARN = re.compile(r"arn:aws[a-z-]*:iam::(?:\d{12}|aws):policy/[\x21-\x7e]+", re.ASCII)
ASSUMED_ROLE_ARN = re.compile(r"arn:(aws[a-z-]*):sts::(\d{12}):assumed-role/([^/]+)/.+", re.ASCII)


class RoleArn(NamedTuple):
    """The parts of a role's ARN."""

    partition: str
    account_id: str
    name: str


def parse_role_arn(arn: str) -> RoleArn | None:
    """Return the parts of a role ARN, or None when it is not one."""
    found = ROLE_ARN.fullmatch(arn)
    return RoleArn(*found.groups()) if found else None


def read_only_policy(role_arn: str | None) -> str:
    """Return the ARN of AWS's ReadOnlyAccess in the partition of a role."""
    return READ_ONLY_POLICY.format(partition=role_arn.split(":")[1] if role_arn else "aws")


def identity_arn(caller_arn: str) -> str:
    """Return the IAM ARN behind what GetCallerIdentity says: the role of an assumed-role session, else itself."""
    found = ASSUMED_ROLE_ARN.fullmatch(caller_arn)
    if found is None:
        return caller_arn
    partition, account_id, name = found.groups()
    return f"arn:{partition}:iam::{account_id}:role/{name}"


def session_name(caller_arn: str) -> str | None:
    """Return the session's name in what GetCallerIdentity says; None for a user."""
    return caller_arn.rpartition("/")[2] if ASSUMED_ROLE_ARN.fullmatch(caller_arn) else None


def fit_session_name(text: str) -> str:
    """Return ``text`` in STS's alphabet for session names and source identities, 2 to 64 characters."""
    fitted = re.sub(r"[^\w+=,.@-]", "-", text, flags=re.ASCII)[:64]
    return fitted if len(fitted) > 1 else fitted + "-" * (2 - len(fitted))


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSession:
    """One AssumeRole request, minus the moment at which it is made.

    Attributes are the parameters of STS's ``AssumeRole``; ``policy`` is compact JSON. Without a ``role_arn`` it is the
    only role that a SAML assertion offers; without a ``role_session_name`` whoever vouches for us names the session.
    """

    role_arn: str | None
    role_session_name: str | None
    duration: timedelta = DEFAULT_DURATION
    external_id: str | None = None
    policy: str | None = None
    policy_arns: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    transitive_tags: tuple[str, ...] = ()
    source_identity: str | None = None


def duration_until(ends: datetime, now: datetime) -> timedelta:
    """Return how long a session is asked to live that is wanted until ``ends``, within STS's limits."""
    return min(max(timedelta(seconds=math.ceil((ends - now).total_seconds())), MIN_DURATION), MAX_DURATION)


class SessionIssuer(Protocol):
    """Gives a new session of one role whenever it is asked."""

    @property
    def longest(self) -> timedelta | None:
        """The longest session that AWS is asked for, once it refused a longer one; None until then."""
        ...

    async def issue(self, now: datetime) -> Credentials:
        """Return new credentials.

        Raises:
            CredentialsError: there are none; its ``action`` says what that calls for.
        """
        ...
