"""From a YAML document to a ``Config``: every mistake is told at once, nothing is silently ignored."""

from __future__ import annotations

import grp
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from imds.config.callers import read_callers, this_user_only
from imds.config.chains import first_source
from imds.config.document import read
from imds.config.instances import MetadataOptions, default_instance, read_instances, read_metadata_options
from imds.config.listen import parse_listen, read_admin_listen
from imds.config.notify import read_channels
from imds.config.persisting import KEYED, read_places
from imds.config.roles import read_role
from imds.config.schema import DEFAULT_RATE_LIMIT, NO_AUDIT, Config, Listen
from imds.config.sources import FromContainer, FromInstanceMetadata, FromSessionToken, base_role
from imds.core.asking import Asking
from imds.core.patterns import REGION
from imds.core.roles import ROLE_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from imds.config.document import Node
    from imds.config.schema import Role

KEYS = (
    *(
        "region",
        "listen",
        "metadata_options",
        "allowed_hosts",
        "control_socket",
        "control_socket_mode",
        "control_group",
        "sts_second_region",
        "rate_limit",
        "audit_log",
        "audit_fsync",
        "allow_faults",
        "persist_sessions",
        "persist_key_file",
        "reload_on_change",
        "container_credentials",
        "admin_listen",
        "notify",
    ),
    *("roles", "instances", "callers"),
)
SOCKET_MODES = ("0600", "0660")
CONTAINER_CREDENTIALS = ("require_token",)
DEFAULT_LISTEN = (
    Listen(host="127.0.0.1", port=9254),
    Listen(host="169.254.169.254", port=80, required=False),
)
"""A loopback address that needs no root, and EC2's own where the host has it."""

FSYNC = ("never", "second", "line")
SECOND_REGION = re.compile(rf"none|{REGION.pattern}")
HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?")


def load(path: Path, *, variables: Mapping[str, str], uid: int) -> Config:
    """Return the configuration in ``path``.

    Args:
        path: the file.
        variables: what ``{user}``, ``{host}`` and ``{pid}`` stand for in templates.
        uid: the daemon's own user.

    Raises:
        ConfigError: it has mistakes; all of them.
    """
    return _read_config(read(path), path=path, variables=variables, uid=uid)


def _read_config(root: Node, *, path: Path, variables: Mapping[str, str], uid: int) -> Config:
    top = root.section(*KEYS)
    if not {"roles", "instances"} & {*top}:
        root.wrong("names no roles: add a section roles, see config.example.yaml")
    roles, names = _read_roles(top.get("roles"), variables)
    options = read_metadata_options(top.get("metadata_options"), MetadataOptions())
    guarded = frozenset(name for name, role in roles.items() if role.break_glass is not None)
    instances = read_instances(top.get("instances"), roles=names, options=options, guarded=guarded)
    callers = top.get("callers")
    listen = _read_listen(top["listen"]) if "listen" in top else DEFAULT_LISTEN
    config = Config(
        path=path,
        region=top["region"].matching(REGION, "a region such as eu-west-1") if "region" in top else None,
        sts_second_region=_read_second_region(top.get("sts_second_region")),
        listen=listen,
        allowed_hosts=_read_hosts(top.get("allowed_hosts")),
        control_socket=top["control_socket"].path() if "control_socket" in top else None,
        control_group=_read_control_group(top),
        rate_limit=_read_rate_limit(top.get("rate_limit")),
        audit_log=_read_audit_log(top.get("audit_log")),
        audit_fsync=(top["audit_fsync"].one_of(*FSYNC) if "audit_fsync" in top else None) or FSYNC[0],
        allow_faults=bool("allow_faults" in top and top["allow_faults"].boolean()),
        require_container_token=_read_require_token(top.get("container_credentials")),
        persist_sessions=read_places(top["persist_sessions"]) if "persist_sessions" in top else None,
        persist_key_file=top["persist_key_file"].path() if "persist_key_file" in top else None,
        reload_on_change=bool("reload_on_change" in top and top["reload_on_change"].boolean()),
        admin_listen=read_admin_listen(top.get("admin_listen"), listen),
        notify=read_channels(top.get("notify"), tuple(n for n in names if n not in guarded), needs_as=True),
        roles=roles,
        instances=instances,
        callers=read_callers(callers, instances=tuple(instances), roles=names, uid=uid)
        if callers
        else this_user_only(uid),
    )
    second = _partition(config.sts_second_region)
    if second is not None and config.region is not None and second != _partition(config.region):
        top["sts_second_region"].wrong(f"is in another partition than {config.region}")
    if config.persist_key_file is not None and KEYED not in (config.persist_sessions or ()):
        top["persist_key_file"].wrong(f"is for sessions in a file: write persist_sessions: {KEYED} too")
    root.problems.raise_if_any()
    entries = top["roles"].mapping() if "roles" in top else {}
    _refuse_own_addresses(config, entries)
    _check_guarded(config, entries)
    root.problems.raise_if_any()
    return _without_upstream(config)


def _without_upstream(config: Config) -> Config:
    """Return ``config`` without an optional address that one of its sources asks."""
    asked = {
        role.source.address
        for role in config.roles.values()
        if isinstance(role.source, FromInstanceMetadata | FromContainer)
    }
    kept = (listen for listen in config.listen if listen.required or (listen.host, listen.port) not in asked)
    return replace(config, listen=tuple(kept))


def without_file(roles: Mapping[str, Role], *, uid: int) -> Config:
    """Return the configuration of a daemon that was told nothing but its roles."""
    return Config(
        path=None,
        region=None,
        listen=DEFAULT_LISTEN,
        roles=roles,
        instances={"default": default_instance(tuple(roles), MetadataOptions())},
        callers=this_user_only(uid),
    )


def _read_roles(node: Node | None, variables: Mapping[str, str]) -> tuple[dict[str, Role], tuple[str, ...]]:
    """Return the roles without mistakes, and the names of all; instances without any role need none."""
    if node is None:
        return {}, ()
    mistakes = len(node.problems.found)
    entries = node.mapping()
    if not entries and len(node.problems.found) == mistakes:
        node.wrong("names no role")
    roles: dict[str, Role] = {}
    for name, entry in entries.items():
        if not ROLE_NAME.fullmatch(name):
            entry.wrong("a role's name has 1 to 64 letters, digits or any of _+=,.@-")
        role = read_role(entry, name, tuple(entries), {**variables, "role": name})
        if role is not None:
            roles[name] = role
    _find_loops(roles, entries)
    _find_two_ways_of_asking(roles, entries)
    return roles, tuple(entries)


def _refuse_own_addresses(config: Config, entries: Mapping[str, Node]) -> None:
    """Refuse a source that would ask this very daemon; by another name of ours it is refused when it is asked."""
    own = {(listen.host, listen.port) for listen in config.listen if listen.required}
    for name, role in config.roles.items():
        if isinstance(role.source, FromInstanceMetadata | FromContainer) and role.source.address in own:
            entries[name].wrong("its source is an address that this daemon listens on: it would ask itself")


def _check_guarded(config: Config, entries: Mapping[str, Node]) -> None:
    """Refuse a break-glass role where it would be given without its activation."""
    for name in config.guarded:
        for instance in config.instances.values():
            for key, role in (("role", instance.role), ("identity_role", instance.identity_role)):
                if role == name:
                    entries[name].wrong(
                        f"is a break-glass role, and {key} of instance {instance.name}: only roles may name it"
                    )
        for other, based in config.roles.items():
            if base_role(based.source) == name:
                entries[other].wrong(f"its source is the break-glass role {name}, which is given to people only")
        guard = config.roles[name].break_glass
        if guard is not None and any(getattr(one, "as_role", None) in config.guarded for one in guard.notify):
            entries[name].wrong("its notify publishes as a break-glass role: write as: ROLE of another")
        first = first_source(config.roles, name)
        if guard is not None and guard.mfa and not first.takes_codes:
            entries[name].wrong(f"its break_glass has mfa: true, and {first} takes no MFA code: see mfa_serial")
        if config.audit_log == NO_AUDIT:
            entries[name].wrong("is a break-glass role, and nothing is recorded: audit_log is none")


def _find_loops(roles: Mapping[str, Role], entries: Mapping[str, Node]) -> None:
    for name in roles:
        seen = [name]
        other = base_role(roles[name].source)
        while other is not None and other in roles:
            if other in seen:
                if other == name:
                    entries[name].wrong(f"is its own source: {' ← '.join([*seen, name])}")
                break
            seen.append(other)
            other = base_role(roles[other].source)


def _find_two_ways_of_asking(roles: Mapping[str, Role], entries: Mapping[str, Node]) -> None:
    """Refuse roles that share keys and device and ask for their one code in two ways."""
    first: dict[FromSessionToken, tuple[str, Asking]] = {}
    for name, role in roles.items():
        if isinstance(role.source, FromSessionToken) and role.source.asking != Asking():
            other, asking = first.setdefault(role.source, (name, role.source.asking))
            if role.source.asking != asking:
                entries[name].wrong(
                    f"shares its keys and its MFA device with {other}, and asks for the code in another way: keep one"
                )


def _read_listen(node: Node) -> tuple[Listen, ...]:
    addresses: list[Listen] = []
    mistakes = len(node.problems.found)
    for item in node.items():
        text = item.text(what="an address such as http://127.0.0.1:9254")
        if text is None:
            continue
        try:
            address = parse_listen(text)
        except ValueError as error:
            item.wrong(str(error))
            continue
        if address in addresses:
            item.wrong(f"{text} stands twice")
        addresses.append(address)
    if not addresses and len(node.problems.found) == mistakes:
        node.wrong("names no address")
    return tuple(addresses)


def _read_rate_limit(node: Node | None) -> int | None:
    if node is None:
        return DEFAULT_RATE_LIMIT
    if node.is_scalar and not node.is_null and node.text() == "none":
        return None
    return node.whole(1, 1_000_000)


def _read_require_token(node: Node | None) -> bool:
    entries = node.section(*CONTAINER_CREDENTIALS) if node is not None else {}
    return "require_token" not in entries or entries["require_token"].boolean() is not False


def _read_audit_log(node: Node | None) -> Path | None:
    if node is None:
        return None
    return NO_AUDIT if node.is_scalar and not node.is_null and node.text() == "none" else node.path()


def _read_control_group(top: Mapping[str, Node]) -> str | None:
    """Return the group that may use the control socket; None for nobody but the daemon's user and root."""
    mode = top["control_socket_mode"].one_of(*SOCKET_MODES) if "control_socket_mode" in top else None
    group = top.get("control_group")
    if group is None or group.is_null:
        if mode == SOCKET_MODES[1]:
            top["control_socket_mode"].wrong("needs a control_group: whose members may use the socket")
        return None
    name = group.text(what="the name of a group")
    if mode == SOCKET_MODES[0]:
        group.wrong("goes with control_socket_mode: 0660")
    try:
        return grp.getgrnam(name).gr_name if name is not None else None
    except KeyError:
        group.wrong(f"there is no group {name}: groupadd --system {name}")
        return None


def _partition(region: str | None) -> str | None:
    """Return the beginning of a region's name that tells AWS's partitions apart."""
    if region in (None, "none"):
        return None
    return next((start for start in ("cn-", "eusc-", "us-gov-", "us-iso") if region.startswith(start)), "")


def _read_second_region(node: Node | None) -> str | None:
    return node.matching(SECOND_REGION, "a region such as eu-central-1, or none") if node is not None else None


def _read_hosts(node: Node | None) -> frozenset[str]:
    if node is None:
        return frozenset()
    names = [item.matching(HOST_NAME, "a host name without port") for item in node.items()]
    return frozenset(name.lower() for name in names if name is not None)
