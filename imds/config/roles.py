"""``roles``: where credentials come from, and what is asked of STS; its limits are checked here."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

from imds.config.break_glass import read_break_glass
from imds.config.policies import read_only, read_policy, read_policy_arns
from imds.config.schema import Role
from imds.config.sources import FromCognitoToken, FromRolesAnywhere, FromSaml, FromWebIdentity, read_source
from imds.config.sources.kind import NARROWING_KEYS, STAMPING_KEYS
from imds.core import roles as sts
from imds.core.narrowing import SOURCE_IDENTITY, STAMPED_TAGS, STAMPS, TAGS
from imds.core.roles import RoleSession, fit_session_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from imds.config.document import Node
    from imds.config.sources import Source

ASSUME_ROLE_KEYS = ("role_session_name", *NARROWING_KEYS, *STAMPING_KEYS)
KEYS = ("role_arn", "source", "duration", "break_glass", *ASSUME_ROLE_KEYS)
LATER = ("prefetch",)
FEDERATED = (FromWebIdentity, FromSaml, FromCognitoToken, FromRolesAnywhere)
"""Sources that vouch for us and give no credentials of their own, with which something else could be done."""
ELSEWHERE = {"mfa_serial": "goes beside the keys that it is for: source: {profile: NAME, mfa_serial: ARN}"}
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
    mistakes = len(node.problems.found)
    entries = node.section(*KEYS, later=LATER, elsewhere=ELSEWHERE)
    if "source" not in entries:
        node.wrong("has no source: write source: {profile: NAME} or source: {role: NAME}")
    source = read_source(entries["source"], name, names) if "source" in entries else None
    assumes = "role_arn" in entries or isinstance(source, FromSaml)
    if source is not None:
        _check_source(node, entries, source, assumes=assumes)
    if not assumes:
        for key in ASSUME_ROLE_KEYS:
            if key in entries:
                entries[key].wrong("needs a role_arn: only an assumed role can be given this")
    longest = sts.MAX_DURATION if assumes else sts.MAX_SESSION_TOKEN_DURATION
    duration = entries["duration"].duration(sts.MIN_DURATION, longest) if "duration" in entries else None
    duration = duration or sts.DEFAULT_DURATION
    if source is not None and duration > sts.CHAINED_DURATION and assumes and source.temporary:
        entries["duration"].wrong("AWS limits a role assumed with another session (role chaining) to 1h")
    session = _read_session(entries, variables, source, duration) if assumes else None
    stamp = _read_stamp(entries.get("stamp"), session) if session is not None else ()
    guard = None
    if "break_glass" in entries:
        guard = read_break_glass(entries["break_glass"], names, needs_as=isinstance(source, FEDERATED))
        if source is not None and (session is None or source.names_session):
            entries["break_glass"].wrong("needs a role_arn whose sessions have a name of ours: the record goes by it")
    if source is None or len(node.problems.found) > mistakes:
        return None
    return Role(source=source, session=session, duration=duration, stamp=stamp, break_glass=guard)


def _check_source(node: Node, entries: Mapping[str, Node], source: Source, *, assumes: bool) -> None:
    """Refuse what does not go with a kind of source, and say what does."""
    if source.needs_role and not assumes:
        node.wrong(f"needs a role_arn: {source} is good for assuming a role only")
    if source.takes_no_role is not None and "role_arn" in entries:
        entries["role_arn"].wrong(source.takes_no_role)
    if source.temporary and not assumes and "duration" in entries:
        entries["duration"].wrong("means nothing without a role_arn: the source itself says how long its session lives")
    for key, why in source.not_taken.items():
        if key in entries:
            entries[key].wrong(why)


def _read_session(
    entries: Mapping[str, Node], variables: Mapping[str, str], source: Source | None, duration: timedelta
) -> RoleSession:
    what = "a role's ARN (arn:aws:iam::123456789012:role/NAME)"
    arn = entries["role_arn"].matching(sts.ROLE_ARN, what) if "role_arn" in entries else None
    tags = _read_tags(entries.get("tags"))
    return RoleSession(
        role_arn=arn,
        role_session_name=_read_session_name(entries, variables, source),
        duration=duration,
        external_id=_optional(
            entries.get("external_id"), sts.EXTERNAL_ID, "2 to 1224 letters, digits or any of _+=,.@:/-"
        ),
        policy=read_policy(entries.get("policy")),
        policy_arns=read_policy_arns(entries.get("policy_arns")) + read_only(entries, arn),
        tags=tags,
        transitive_tags=_read_transitive(entries.get("transitive_tags"), {key for key, _ in tags}),
        source_identity=_expand(entries["source_identity"], variables) if "source_identity" in entries else None,
    )


def _read_session_name(entries: Mapping[str, Node], variables: Mapping[str, str], source: Source | None) -> str | None:
    """Return the session's name; None where the identity provider gives one (Roles Anywhere, unless it is written)."""
    if "role_session_name" in entries:
        return _expand(entries["role_session_name"], variables)
    if source is not None and source.names_session:
        return None
    return fit_session_name(DEFAULT_SESSION_NAME.format_map(dict(variables)))


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


def _read_tags(node: Node | None) -> tuple[tuple[str, str], ...]:
    entries = node.mapping() if node is not None else {}
    if node is not None and len(entries) > sts.MAX_TAGS:
        node.wrong(f"has {len(entries)} tags; STS takes {sts.MAX_TAGS}")
    tags = []
    for key, entry in entries.items():
        value = entry.text(empty=True)
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


def _read_stamp(node: Node | None, session: RoleSession) -> tuple[str, ...]:
    """Return what stamps the sessions of leases; it takes the place of nothing that the role has already."""
    stamps = []
    for item in node.items() if node is not None else []:
        stamp = item.one_of(*STAMPS)
        taken = sorted(key for key, _ in session.tags if key.lower() in STAMPED_TAGS)
        if stamp == TAGS and taken:
            item.wrong(f"would set {', '.join(taken)}, which the role's tags have: keep one of the two")
        elif stamp == SOURCE_IDENTITY and session.source_identity is not None:
            item.wrong("the role has a source_identity: keep one of the two")
        elif stamp is not None and stamp not in stamps:
            stamps.append(stamp)
    return tuple(stamps)
