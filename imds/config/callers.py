"""``callers``: who sees which instance. Without it, only the daemon's own user sees anything."""

from __future__ import annotations

import pwd
import re
from typing import TYPE_CHECKING

from imds.core.instances import DEFAULT_INSTANCE
from imds.core.policy import Match, Rule

if TYPE_CHECKING:
    from imds.config.document import Node

KEYS = ("match", "instance", "refuse")
MATCH_KEYS = ("user",)
MATCH_LATER = (*("group", "exe", "command", "ancestor", "cgroup", "unit", "container", "network", "listener", "lease"),)
DAEMON = "@daemon"


def this_user_only(uid: int) -> tuple[Rule, ...]:
    """Return the rules of a configuration without ``callers``."""
    return (Rule(match=Match(users=(uid,)), instance=DEFAULT_INSTANCE, text="the daemon's own user"),)


def read_callers(node: Node, *, instances: tuple[str, ...], uid: int) -> tuple[Rule, ...]:
    """Return the rules in order."""
    rules = [_read_rule(item, instances, uid) for item in node.items()]
    return tuple(rule for rule in rules if rule is not None)


def _read_rule(node: Node, instances: tuple[str, ...], uid: int) -> Rule | None:
    entries = node.section(*KEYS)
    if ("instance" in entries) == ("refuse" in entries):
        node.wrong("must have either instance: NAME or refuse: REASON")
    instance = entries["instance"].text(what="the name of an instance") if "instance" in entries else None
    if instance is not None and instance not in instances:
        entries["instance"].wrong(f"{instance!r} is not an instance; there are: {', '.join(instances)}")
    refuse = entries["refuse"].text(what="a reason") if "refuse" in entries else None
    if "match" not in entries:
        node.wrong('has no match: write match: {user: NAME}, or match: {user: "*"} for every user of this host')
        return None
    mistakes = len(node.problems.found)
    match = entries["match"].section(*MATCH_KEYS, later=MATCH_LATER)
    if "user" not in match:
        if len(node.problems.found) == mistakes:
            entries["match"].wrong("asks for nothing: write user: NAME")
        return None
    written = match["user"].text(what="a user name, a uid or @daemon")
    user = _resolve(match["user"], written, uid) if written is not None else None
    if user is None:
        return None
    return Rule(match=Match(users=(user,)), instance=instance, refuse=refuse, text=f"user {written}")


def _resolve(node: Node, written: str, uid: int) -> int | str | None:
    """Return a uid where one is meant, else a pattern of user names."""
    if written == DAEMON:
        return uid
    if re.fullmatch(r"\d{1,10}", written):
        return int(written)
    if "*" in written or "?" in written or "[" in written:
        return written
    try:
        return pwd.getpwnam(written).pw_uid
    except KeyError:
        node.wrong(f"this host has no user {written!r} (a uid works without one)")
        return None
