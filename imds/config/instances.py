"""``instances``: what a caller sees. ``default`` exists even if it is not written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imds.config.metadata import read_overlay
from imds.core.instances import DEFAULT_INSTANCE, Instance

if TYPE_CHECKING:
    from imds.config.document import Node

KEYS = (
    *("role", "roles", "identity_role", "metadata_options", "control"),
    *("metadata", "metadata_from", "user_data"),
)
METADATA_OPTIONS = ("http_tokens", "http_put_response_hop_limit", "instance_metadata_tags", "http_endpoint")
ELSEWHERE = {"http_protocol_ipv6": "is decided by listen: write an IPv6 address there, or none"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataOptions:
    """EC2's options of the metadata service."""

    token_required: bool = True
    hop_limit: int = 1
    tags_shown: bool = True
    enabled: bool = True


def read_metadata_options(node: Node | None, default: MetadataOptions) -> MetadataOptions:
    """Return ``metadata_options``; what is not written is as in ``default``."""
    entries = node.section(*METADATA_OPTIONS, elsewhere=ELSEWHERE) if node is not None else {}
    tokens = entries["http_tokens"].one_of("required", "optional") if "http_tokens" in entries else None
    limit = "http_put_response_hop_limit"
    hops = entries[limit].whole(1, 64) if limit in entries else None
    return MetadataOptions(
        token_required=default.token_required if tokens is None else tokens == "required",
        hop_limit=hops or default.hop_limit,
        tags_shown=_is_enabled(entries.get("instance_metadata_tags"), default=default.tags_shown),
        enabled=_is_enabled(entries.get("http_endpoint"), default=default.enabled),
    )


def _is_enabled(node: Node | None, *, default: bool) -> bool:
    return node.one_of("enabled", "disabled") == "enabled" if node is not None else default


def default_instance(
    roles: tuple[str, ...], options: MetadataOptions, *, guarded: frozenset[str] = frozenset()
) -> Instance:
    """Return the instance of a configuration without ``instances``: the first role by default, all by name.

    Args:
        roles: the names of all.
        options: as they are for every instance.
        guarded: roles that are nobody's by default.
    """
    first = next((role for role in roles if role not in guarded), None)
    return Instance(
        name=DEFAULT_INSTANCE,
        role=first,
        roles=frozenset(roles),
        account_role=first,
        token_required=options.token_required,
        hop_limit=options.hop_limit,
        tags_shown=options.tags_shown,
        enabled=options.enabled,
        control=True,
    )


def read_instances(
    node: Node | None, *, roles: tuple[str, ...], options: MetadataOptions, guarded: frozenset[str]
) -> dict[str, Instance]:
    """Return all instances by name; see ``default_instance``."""
    instances = {DEFAULT_INSTANCE: default_instance(roles, options, guarded=guarded)}
    for name, entry in (node.mapping() if node is not None else {}).items():
        instances[name] = _read_instance(entry, name, roles, options)
    return instances


def _read_instance(node: Node, name: str, roles: tuple[str, ...], options: MetadataOptions) -> Instance:
    entries = node.section(*KEYS)
    if "role" not in entries:
        node.wrong("has no role: name one, or write role: null for an instance without one")
    role = _read_role(entries["role"], roles) if "role" in entries and not entries["role"].is_null else None
    named = [_read_role(item, roles) for item in entries["roles"].items()] if "roles" in entries else []
    own = read_metadata_options(entries.get("metadata_options"), options)
    identity = entries.get("identity_role")
    identity_role = _read_role(identity, roles) if identity is not None and not identity.is_null else None
    control = entries["control"].boolean() if "control" in entries else name == DEFAULT_INSTANCE
    return Instance(
        name=name,
        role=role,
        roles=frozenset(one for one in [role, *named] if one is not None),
        token_required=own.token_required,
        hop_limit=own.hop_limit,
        tags_shown=own.tags_shown,
        enabled=own.enabled,
        control=bool(control),
        account_role=role or identity_role,
        identity_role=identity_role,
        overlay=read_overlay(entries),
    )


def _read_role(node: Node, roles: tuple[str, ...]) -> str | None:
    role = node.text(what="the name of a role")
    if role is not None and role not in roles:
        node.wrong(f"{role!r} is not a role; there are: {', '.join(roles) or 'none'}")
        return None
    return role
