"""``instances``: what a caller sees. ``default`` exists even if it is not written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imds.core.instances import DEFAULT_INSTANCE, Instance

if TYPE_CHECKING:
    from imds.config.document import Node

KEYS = ("role", "roles", "metadata_options")
LATER = ("metadata", "metadata_from", "user_data", "control")


def default_instance(roles: tuple[str, ...], *, token_required: bool) -> Instance:
    """Return the instance of a configuration without ``instances``: the first role by default, all by name."""
    return Instance(
        name=DEFAULT_INSTANCE,
        role=roles[0] if roles else None,
        roles=frozenset(roles),
        token_required=token_required,
    )


def read_instances(node: Node | None, *, roles: tuple[str, ...], token_required: bool) -> dict[str, Instance]:
    """Return all instances by name."""
    instances = {DEFAULT_INSTANCE: default_instance(roles, token_required=token_required)}
    for name, entry in (node.mapping() if node is not None else {}).items():
        instances[name] = _read_instance(entry, name, roles, token_required=token_required)
    return instances


def _read_instance(node: Node, name: str, roles: tuple[str, ...], *, token_required: bool) -> Instance:
    entries = node.section(*KEYS, later=LATER)
    if "role" not in entries:
        node.wrong("has no role: name one, or write role: null for an instance without one")
    role = _read_role(entries["role"], roles) if "role" in entries and not entries["role"].is_null else None
    named = [_read_role(item, roles) for item in entries["roles"].items()] if "roles" in entries else []
    if "metadata_options" in entries:
        options = entries["metadata_options"].section("http_tokens")
        if "http_tokens" in options:
            token_required = options["http_tokens"].one_of("required", "optional") != "optional"
    allowed = frozenset(name for name in [role, *named] if name is not None)
    return Instance(name=name, role=role, roles=allowed, token_required=token_required)


def _read_role(node: Node, roles: tuple[str, ...]) -> str | None:
    role = node.text(what="the name of a role")
    if role is not None and role not in roles:
        node.wrong(f"{role!r} is not a role; there are: {', '.join(roles) or 'none'}")
        return None
    return role
