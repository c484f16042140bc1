"""``roles``: where credentials come from, and what is asked of STS; its limits are checked here."""

from __future__ import annotations

import json
import re
import string
from datetime import timedelta
from typing import TYPE_CHECKING

from imds.config.schema import Role
from imds.config.source_kinds import FEDERATED, FromCognito, FromRole
from imds.config.sources import read_source
from imds.core import roles as sts
from imds.core.roles import RoleSession, fit_session_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.config.document import Node

ASSUME_ROLE_KEYS = (
    *("external_id", "role_session_name", "policy", "policy_arns", "read_only", "tags", "transitive_tags"),
    "source_identity",
)
KEYS = ("role_arn", "source", "duration", *ASSUME_ROLE_KEYS)
LATER = ("break_glass", "stamp", "prefetch", "mfa")
MAX_SESSION_TOKEN_DURATION = timedelta(seconds=129600)
DEFAULT_SESSION_NAME = "{user}-{host}"
NAME_PATTERN = "2 to 64 letters, digits or any of _+=,.@-"


def read_role(node: Node, name: str, names: tuple[str, ...], variables: Mapping[str, str]) -> Role | None:
    """Return one role, None when it has mistakes.

    Args:
        node: the entry.
        name: its name.
        names: the names of all roles.
        variables: what templates may use.
    """
    entries = node.section(*KEYS, later=LATER)
    if "source" not in entries:
        node.wrong("has no source: write source: {profile: NAME} or source: {role: NAME}")
        return None
    source = read_source(entries["source"], name, names)
    arn_node = entries.get("role_arn")
    if isinstance(source, FEDERATED) or (isinstance(source, FromCognito) and source.classic):
        _check_federated(node, entries)
    if arn_node is None:
        for key in ASSUME_ROLE_KEYS:
            if key in entries:
                entries[key].wrong("needs a role_arn: only an assumed role can be given this")
        if isinstance(source, FromRole):
            node.wrong("has a role as its source but no role_arn to assume with it")
    longest = sts.MAX_DURATION if arn_node is not None else MAX_SESSION_TOKEN_DURATION
    duration = entries["duration"].duration(sts.MIN_DURATION, longest) if "duration" in entries else None
    if duration is not None and isinstance(source, FromRole) and duration > sts.CHAINED_DURATION:
        entries["duration"].wrong("AWS limits a role assumed by another role (role chaining) to 1h")
    session = _read_session(entries, variables, duration or sts.DEFAULT_DURATION) if arn_node is not None else None
    if source is None or (arn_node is not None and session is None):
        return None
    return Role(source=source, session=session, duration=duration or sts.DEFAULT_DURATION)


def _check_federated(node: Node, entries: Mapping[str, Node]) -> None:
    """Refuse what AssumeRoleWithWebIdentity and AssumeRoleWithSAML do not know."""
    if "role_arn" not in entries:
        node.wrong("needs a role_arn: an identity provider's word is good for assuming a role only")
    for key in ("external_id", "tags", "transitive_tags", "source_identity"):
        if key in entries:
            entries[key].wrong("is nothing STS takes with a token or an assertion: the identity provider sets it")


def _read_session(entries: Mapping[str, Node], variables: Mapping[str, str], duration: timedelta) -> RoleSession | None:
    arn = entries["role_arn"].matching(sts.ROLE_ARN, "a role's ARN (arn:aws:iam::123456789012:role/NAME)")
    tags = _read_tags(entries.get("tags"))
    name = (
        _expand(entries["role_session_name"], variables)
        if "role_session_name" in entries
        else fit_session_name(DEFAULT_SESSION_NAME.format_map(dict(variables)))
    )
    if arn is None or name is None:
        return None
    return RoleSession(
        role_arn=arn,
        role_session_name=name,
        duration=duration,
        external_id=_optional(
            entries.get("external_id"), sts.EXTERNAL_ID, "2 to 1224 letters, digits or any of _+=,.@:/-"
        ),
        policy=_read_policy(entries.get("policy")),
        policy_arns=_read_policy_arns(entries, arn),
        tags=tags,
        transitive_tags=_read_transitive(entries.get("transitive_tags"), {key for key, _ in tags}),
        source_identity=_expand(entries["source_identity"], variables) if "source_identity" in entries else None,
    )


def _optional(node: Node | None, pattern: re.Pattern[str], what: str) -> str | None:
    return node.matching(pattern, what) if node is not None else None


def _expand(node: Node, variables: Mapping[str, str]) -> str | None:
    """Return a template with its ``{names}`` filled in, in STS's alphabet."""
    template = node.text(what="a name, with any of " + ", ".join(f"{{{name}}}" for name in variables))
    if template is None:
        return None
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        node.wrong(f"{template!r} is not a template: {error}")
        return None
    for literal, name, spec, conversion in parts:
        if name is not None and (name not in variables or spec or conversion):
            known = ", ".join(f"{{{known}}}" for known in variables)
            node.wrong(f"{{{name}}} stands for nothing; there are: {known}")
            return None
        if re.search(r"[^\w+=,.@-]", literal, flags=re.ASCII):
            node.wrong(f"{template!r} has a character that STS does not take: use {NAME_PATTERN}")
            return None
    filled = "".join(literal + (variables[name] if name is not None else "") for literal, name, _, _ in parts)
    if len(filled) < 2 or not filled:  # noqa: PLR2004 - STS's minimum
        node.wrong(f"{filled!r} is too short: {NAME_PATTERN}")
        return None
    return fit_session_name(filled)


def _read_policy(node: Node | None) -> str | None:
    """Return a session policy as compact JSON."""
    if node is None:
        return None
    policy = node.plain()
    if not isinstance(policy, dict) or "Statement" not in policy:
        node.wrong("has no Statement: it must be an IAM policy document")
        return None
    try:
        text = json.dumps(policy, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError):
        node.wrong('has a value that JSON cannot hold (quote dates: Version: "2012-10-17")')
        return None
    if len(text) > sts.MAX_POLICY:
        node.wrong(f"has {len(text)} characters as JSON; STS takes {sts.MAX_POLICY}: use policy_arns")
    return text


def _read_policy_arns(entries: Mapping[str, Node], role_arn: str) -> tuple[str, ...]:
    """Return the managed policies that narrow a session; ``read_only: true`` is one of them."""
    node = entries.get("policy_arns")
    items = node.items() if node is not None else []
    what = "a policy's ARN (arn:aws:iam::aws:policy/ReadOnlyAccess)"
    arns = [arn for item in items if (arn := item.matching(sts.POLICY_ARN, what))]
    if "read_only" in entries and entries["read_only"].one_of("true", "false") == "true":
        arns.append(f"arn:{role_arn.split(':')[1]}:iam::aws:policy/ReadOnlyAccess")
    if node is not None and len(arns) > sts.MAX_POLICY_ARNS:
        node.wrong(f"has {len(arns)} entries; STS takes {sts.MAX_POLICY_ARNS}")
    return tuple(dict.fromkeys(arns))


def _read_tags(node: Node | None) -> tuple[tuple[str, str], ...]:
    entries = node.mapping() if node is not None else {}
    if node is not None and len(entries) > sts.MAX_TAGS:
        node.wrong(f"has {len(entries)} tags; STS takes {sts.MAX_TAGS}")
    tags = []
    for key, entry in entries.items():
        value = entry.text()
        if not 1 <= len(key) <= sts.MAX_TAG_KEY or not sts.TAG.fullmatch(key):
            entry.wrong(f"a tag's key has 1 to {sts.MAX_TAG_KEY} letters, digits, spaces or any of _.:/=+-@")
        elif value is not None and (len(value) > sts.MAX_TAG_VALUE or not sts.TAG.fullmatch(value)):
            entry.wrong(f"a tag's value has at most {sts.MAX_TAG_VALUE} letters, digits, spaces or any of _.:/=+-@")
        elif value is not None:
            tags.append((key, value))
    return tuple(tags)


def _read_transitive(node: Node | None, tags: set[str]) -> tuple[str, ...]:
    keys = []
    for item in node.items() if node is not None else []:
        key = item.text(what="the key of one of tags")
        if key is not None and key not in tags:
            item.wrong(f"{key!r} is not one of tags")
        elif key is not None:
            keys.append(key)
    return tuple(keys)
