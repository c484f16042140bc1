"""``break_glass``: a role that nobody has until they say why, somebody is told, and, maybe, somebody approves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from imds.config.notify import read_channels
from imds.core.leases import DEFAULT_TTL, MAX_TTL, MIN_TTL

if TYPE_CHECKING:
    from imds.config.channels import Channel
    from imds.config.document import Node

KEYS = ("reason", "ttl", "max_ttl", "approvers", "mfa", "notify", "on_notify_failure")
LONGEST = timedelta(hours=1)
ANY_REASON = r"\S"
REFUSE, ALLOW = "refuse", "allow"
APPROVER = re.compile(r"%?[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,255}\$?")


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakGlass:
    """What comes before a role is given.

    Attributes:
        reason: a regular expression that is found in the reason.
        ttl: for how long it is given where nobody says.
        max_ttl: for how long at most.
        approvers: users, and groups as ``%group``, one of whom must approve; none for nobody.
        mfa: whether each activation needs a code of its own.
        notify: who is told.
        refuse_untold: whether it is refused where somebody cannot be told.
    """

    reason: str
    ttl: timedelta
    max_ttl: timedelta
    approvers: tuple[str, ...]
    mfa: bool
    notify: tuple[Channel, ...]
    refuse_untold: bool


def read_break_glass(node: Node, names: tuple[str, ...], *, needs_as: bool) -> BreakGlass | None:
    """Return what is said of a break-glass role; None where it has mistakes.

    Args:
        node: the section.
        names: of all roles.
        needs_as: whether what is published at AWS has to say with whose credentials.
    """
    mistakes = len(node.problems.found)
    entries = node.section(*KEYS)
    max_ttl = entries["max_ttl"].duration(MIN_TTL, MAX_TTL) if "max_ttl" in entries else LONGEST
    ttl = entries["ttl"].duration(MIN_TTL, MAX_TTL) if "ttl" in entries else None
    if ttl is not None and max_ttl is not None and ttl > max_ttl:
        entries["ttl"].wrong("is longer than max_ttl")
    if "notify" not in entries:
        node.wrong(
            "has no notify: say who is told, such as notify: [journal, {command: [notify-oncall]}], or that nobody has "
            "to be: notify: [] and on_notify_failure: allow"
        )
    failure = entries["on_notify_failure"].one_of(REFUSE, ALLOW) if "on_notify_failure" in entries else REFUSE
    notify = read_channels(entries["notify"], names, needs_as=needs_as) if "notify" in entries else ()
    if "notify" in entries and not notify and failure != ALLOW and len(node.problems.found) == mistakes:
        entries["notify"].wrong("names nobody: on_notify_failure: allow says that nobody has to be told")
    read = BreakGlass(
        reason=_read_reason(entries.get("reason")),
        ttl=ttl or min(DEFAULT_TTL, max_ttl or LONGEST),
        max_ttl=max_ttl or LONGEST,
        approvers=_read_approvers(entries.get("approvers")),
        mfa=bool("mfa" in entries and entries["mfa"].boolean()),
        notify=notify,
        refuse_untold=failure != ALLOW,
    )
    return read if len(node.problems.found) == mistakes else None


def _read_reason(node: Node | None) -> str:
    text = node.text(what="a regular expression such as ^INC-[0-9]+") if node is not None else None
    if node is None or text is None:
        return ANY_REASON
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        node.wrong(f"{text!r} is no regular expression: {error}")
        return ANY_REASON
    return text


def _read_approvers(node: Node | None) -> tuple[str, ...]:
    approvers: list[str] = []
    for item in node.items() if node is not None else []:
        name = item.matching(APPROVER, "the name of a user, or of a group as %group")
        if name is not None and name not in approvers:
            approvers.append(name)
    if node is not None and not approvers:
        node.wrong("names nobody: leave it out where nobody has to approve")
    return tuple(approvers)
