"""``callers``: who sees which instance. Without it, only the daemon's own user sees anything."""

from __future__ import annotations

import pwd
import re
from fnmatch import fnmatchcase
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from imds.config.listen import EVERYWHERE, parse_listen
from imds.core.instances import DEFAULT_INSTANCE
from imds.core.matching import ContainerMatch, Match
from imds.core.policy import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from imds.config.document import Node
    from imds.core.matching import Network

KEYS = ("match", "instance", "refuse")
CONTAINER_KEYS = ("label", "image", "name", "project")
DAEMON = "@daemon"


def this_user_only(uid: int) -> tuple[Rule, ...]:
    """Return the rules of a configuration without ``callers``."""
    return (Rule(match=Match(users=(uid,)), instance=DEFAULT_INSTANCE, text="the daemon's own user"),)


def read_callers(node: Node, *, instances: tuple[str, ...], roles: tuple[str, ...], uid: int) -> tuple[Rule, ...]:
    """Return the rules in order."""
    rules = [_read_rule(item, instances, roles, uid) for item in node.items()]
    return tuple(rule for rule in rules if rule is not None)


def _read_rule(node: Node, instances: tuple[str, ...], roles: tuple[str, ...], uid: int) -> Rule | None:
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
    criteria = entries["match"].section(*MATCH_KEYS)
    read = {_PARTS[key]: READERS[key](entry, uid) for key, entry in criteria.items()}
    for pattern in read.get("leases", ()):
        if not any(fnmatchcase(role, pattern) for role in roles):
            criteria["lease"].wrong(f"{pattern!r} is no role's name; there are: {', '.join(roles) or 'none'}")
    if not criteria and len(node.problems.found) == mistakes:
        entries["match"].wrong(f"asks for nothing: write at least one of {', '.join(MATCH_KEYS)}")
    if len(node.problems.found) > mistakes:
        return None
    text = ", ".join(f"{key} {_shown(entry)}" for key, entry in criteria.items())
    return Rule(match=Match(**read, own=uid), instance=instance, refuse=refuse, text=text)


def _shown(node: Node) -> str:
    """Return a criterion as it was written, in one line."""
    value = node.plain()
    if isinstance(value, dict):
        return ", ".join(f"{key} {_line(one)}" for key, one in value.items())
    return _line(value)


def _line(value: object) -> str:
    if isinstance(value, list):
        return " or ".join(str(one) for one in value)
    if isinstance(value, dict):
        return " and ".join(f"{key}={one}" for key, one in value.items())
    return str(value)


def _each(node: Node) -> Iterable[Node]:
    """Return a criterion's alternatives: one value, or a list of them."""
    if node.is_list:
        items = node.items()
        if not items:
            node.wrong("names nothing: write one, or a list of them")
        return items
    return [node]


def _patterns(what: str) -> Callable[[Node, int], tuple[str, ...]]:
    def read(node: Node, _uid: int) -> tuple[str, ...]:
        return tuple(text for one in _each(node) if (text := one.text(what=what)) is not None)

    return read


def _read_users(node: Node, uid: int) -> tuple[int | str, ...]:
    found = []
    for one in _each(node):
        written = one.text(what="a user name, a uid or @daemon")
        user = _resolve(one, written, uid) if written is not None else None
        if user is not None:
            found.append(user)
    return tuple(found)


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


def _read_networks(node: Node, _uid: int) -> tuple[Network, ...]:
    found = []
    for one in _each(node):
        text = one.text(what="a network such as 172.17.0.0/16")
        if text is None:
            continue
        try:
            found.append(ip_network(text))
        except ValueError:
            one.wrong(f"{text!r} is not a network: write an address with its length, such as 172.17.0.0/16")
    return tuple(found)


def _read_listeners(node: Node, _uid: int) -> tuple[str, ...]:
    found = []
    for one in _each(node):
        text = one.text(what="an address of listen")
        if text is None:
            continue
        try:
            listen = parse_listen(text if "://" in text else f"http://{text}")
        except ValueError as error:
            one.wrong(str(error))
            continue
        host = f"[{listen.host}]" if ":" in listen.host else listen.host
        found.append(f":{listen.port}" if listen.host in EVERYWHERE else f"{host}:{listen.port}")
    return tuple(found)


def _read_container(node: Node, _uid: int) -> ContainerMatch | None:
    entries = node.section(*CONTAINER_KEYS)
    patterns = _patterns("a pattern")
    if not entries:
        node.wrong(f"asks for nothing: write at least one of {', '.join(CONTAINER_KEYS)}")
        return None
    labels = entries["label"].mapping() if "label" in entries else {}
    read = {name: value.text(what="a pattern of the label's value", empty=True) or "" for name, value in labels.items()}
    if "label" in entries and not labels:
        entries["label"].wrong("names no label: write label: {NAME: VALUE}")
    return ContainerMatch(
        names=patterns(entries["name"], 0) if "name" in entries else (),
        images=patterns(entries["image"], 0) if "image" in entries else (),
        projects=patterns(entries["project"], 0) if "project" in entries else (),
        labels=tuple(read.items()),
    )


READERS: dict[str, Callable[[Node, int], Any]] = {
    "user": _read_users,
    "group": _patterns("a group's name"),
    "exe": _patterns("the path of an executable, or its name"),
    "command": _patterns("a command's name"),
    "ancestor": _patterns("the path or name of a program"),
    "cgroup": _patterns("a control group's path"),
    "unit": _patterns("a systemd unit's name"),
    "container": _read_container,
    "lease": _patterns("the name of a role that is leased"),
    "network": _read_networks,
    "listener": _read_listeners,
}
MATCH_KEYS = tuple(READERS)
_PARTS = {
    "user": "users",
    "group": "groups",
    "exe": "exes",
    "command": "commands",
    "ancestor": "ancestors",
    "cgroup": "cgroups",
    "unit": "units",
    "container": "container",
    "lease": "leases",
    "network": "networks",
    "listener": "listeners",
}
"""What each criterion is called in a ``Match``."""
