"""A lease's session: the role's, with less rights, its own name, and stamps that say who asked and why.

What several session policies of one AssumeRole allow adds up; only what they deny does not. So a role that has session
policies of its own can be narrowed by a lease in two ways only: by what it has already, and by denials.
Source: IAM user guide, "Policies and permissions in IAM", "Session policies".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from imds.core import roles as sts
from imds.core.errors import BadRequestError
from imds.core.roles import fit_session_name, read_only_policy
from imds.core.timestamps import timestamp

if TYPE_CHECKING:
    from datetime import datetime

    from imds.core.roles import RoleSession

TAGS, SOURCE_IDENTITY = "tags", "source_identity"
STAMPS = (TAGS, SOURCE_IDENTITY)
STAMPED_TAGS = ("lease", "reason", "user")
"""Keys of the session tags that ``stamp: [tags]`` adds."""

_DOCUMENT_KEYS = frozenset({"Version", "Id", "Statement"})
_STATEMENT_KEYS = frozenset({"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """What a lease asks for.

    Attributes:
        read_only: AWS's ReadOnlyAccess.
        policy: a session policy as JSON, None for none.
    """

    read_only: bool = False
    policy: str | None = None

    def __str__(self) -> str:
        if self.read_only:
            return "read-only"
        return "policy" if self.policy is not None else ""


def narrowed(session: RoleSession, wanted: Narrowing) -> RoleSession:
    """Return a session that has no more rights than ``session`` and than ``wanted`` says.

    Raises:
        BadRequestError: AWS has no such session, or the policy is none.
    """
    if wanted.read_only and wanted.policy is not None:
        raise BadRequestError(
            "--read-only and --policy do not go together: what several session policies allow adds up"
        )
    has_own = session.policy is not None or bool(session.policy_arns)
    if wanted.read_only:
        read_only = (read_only_policy(session.role_arn),)
        if has_own and (session.policy is not None or session.policy_arns != read_only):
            raise BadRequestError(_adds_up("use --policy with nothing but Deny statements"))
        return replace(session, policy_arns=read_only)
    if wanted.policy is None:
        return session
    document = read_policy(wanted.policy)
    only_denies = all(one["Effect"] == "Deny" for one in document["Statement"])
    if not has_own:
        if only_denies:
            raise BadRequestError("the policy has no Allow, so it would allow nothing at all: add one")
        return replace(session, policy=_compact(document))
    if not only_denies:
        raise BadRequestError(_adds_up("use a policy with nothing but Deny statements"))
    return replace(session, policy=_compact(_joined(session.policy, document)))


def _adds_up(instead: str) -> str:
    return (
        "the role has session policies of its own, and what several of them allow adds up, so this lease would have "
        f"more rights than the role gives: {instead}, or lease a role that has none"
    )


def read_policy(text: str) -> dict[str, Any]:
    """Return a session policy whose ``Statement`` is a list; what is not an IAM policy to the letter is refused.

    Raises:
        BadRequestError: it is none.
    """
    try:
        document = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"the policy is not JSON: {error}") from error
    if not isinstance(document, dict) or "Statement" not in document or set(document) - _DOCUMENT_KEYS:
        raise BadRequestError("the policy must be an IAM policy document: Version and Statement, and an Id at most")
    statements = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    if not statements:
        raise BadRequestError("the policy has no statement")
    for number, one in enumerate(statements, start=1):
        if not isinstance(one, dict) or one.get("Effect") not in ("Allow", "Deny"):
            raise BadRequestError(f"the policy's statement {number} must have an Effect, Allow or Deny")
        if unknown := sorted(set(one) - _STATEMENT_KEYS):
            raise BadRequestError(f"the policy's statement {number} has {', '.join(unknown)}, which none may have")
    return {**document, "Statement": statements}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice: AWS might read the other one."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _joined(own: str | None, denials: dict[str, Any]) -> dict[str, Any]:
    """Return the role's own inline policy with a lease's denials, or these alone where it has none."""
    if own is None:
        return denials
    document = json.loads(own)
    if document.get("Version") != denials.get("Version"):
        raise BadRequestError(f"the policy must have the Version of the role's own policy: {document.get('Version')}")
    statements = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    # a Sid may not stand twice in one policy, and means nothing
    added = [{key: value for key, value in one.items() if key != "Sid"} for one in denials["Statement"]]
    return {**document, "Statement": [*statements, *added]}


def _compact(document: dict[str, Any]) -> str:
    text = json.dumps(document, separators=(",", ":"))
    if len(text) > sts.MAX_POLICY:
        raise BadRequestError(f"the session policy has {len(text)} characters; STS takes {sts.MAX_POLICY}")
    return text


def named(session: RoleSession, lease_id: str, *, what: str = "lease") -> RoleSession:
    """Return a session whose name holds the lease's id, whatever of the role's own name has to go for it."""
    ending = f"-{what}-{lease_id}"
    own = (session.role_session_name or "imds")[: 64 - len(ending)]
    return replace(session, role_session_name=f"{own}{ending}")


def stamped(session: RoleSession, stamps: tuple[str, ...], *, lease_id: str, reason: str, user: str) -> RoleSession:
    """Return a session that says who asked and why, as far as the role's ``stamp`` says so."""
    if TAGS in stamps:
        values = {"lease": lease_id, "reason": fit_tag(reason), "user": fit_tag(user)}
        session = replace(session, tags=(*session.tags, *((key, value) for key, value in values.items() if value)))
    if SOURCE_IDENTITY in stamps:
        session = replace(session, source_identity=fit_session_name(user))
    return session


def tagged(session: RoleSession, tags: dict[str, str]) -> RoleSession:
    """Return a session with more tags, none of which takes the place of one that is there.

    Raises:
        BadRequestError: STS takes no such tags.
    """
    taken = {key.lower() for key, _ in session.tags}  # STS does not tell upper and lower case apart
    for key, value in tags.items():
        if key.lower() in taken or key.lower().startswith("aws:"):
            raise BadRequestError(
                f"tag {key} is not yours to choose: the role has it already, or AWS keeps it for itself"
            )
        if not 1 <= len(key) <= sts.MAX_TAG_KEY or not sts.TAG.fullmatch(key):
            raise BadRequestError(
                f"tag {key!r}: a tag's key has 1 to {sts.MAX_TAG_KEY} letters, digits, spaces or any of _.:/=+-@"
            )
        if len(value) > sts.MAX_TAG_VALUE or not sts.TAG.fullmatch(value):
            raise BadRequestError(
                f"tag {key}: a value has at most {sts.MAX_TAG_VALUE} letters, digits, spaces or any of _.:/=+-@"
            )
        taken.add(key.lower())
    if len(session.tags) + len(tags) > sts.MAX_TAGS:
        raise BadRequestError(f"the session would have more than the {sts.MAX_TAGS} tags that STS takes")
    return replace(session, tags=(*session.tags, *tags.items()))


def fit_tag(text: str) -> str:
    """Return a text in STS's alphabet for values of tags, 256 characters at most."""
    return re.sub(r"[^\w .:/=+@-]", "-", " ".join(text.split()))[: sts.MAX_TAG_VALUE]


def killing_policy(session_name: str) -> dict[str, Any]:
    """Return a policy that, put on a role, ends its sessions of one name: a lease's, and nobody else's.

    ``aws:userid`` of a role's session is ``ROLE_ID:SESSION_NAME``, and a role's id has no colon. That the session is
    older than now (``aws:TokenIssueTime``) need not be asked for: a name is used for one lease, which has ended.
    Source: IAM user guide, "AWS global condition context keys", "aws:userid".
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Action": "*",
                "Resource": "*",
                "Condition": {"StringLike": {"aws:userid": f"*:{session_name}"}},
            }
        ],
    }


NAME_OF_REVOKING = "AWSRevokeOlderSessions"
"""What the IAM console calls the policy (IAM user guide, "Revoke IAM role temporary security credentials")."""


def revoking_policy(now: datetime) -> dict[str, Any]:
    """Return a policy that, put on a role, ends all of its sessions that began before ``now`` (UTC).

    Source: IAM user guide, "Revoke IAM role temporary security credentials".
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Action": ["*"],
                "Resource": ["*"],
                "Condition": {"DateLessThan": {"aws:TokenIssueTime": timestamp(now)}},
            }
        ],
    }
