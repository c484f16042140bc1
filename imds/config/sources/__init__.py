"""``source``: where a role's credentials come from; one module for each kind, with its value and its reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imds.config.sources import federation_token, keys, metadata_services, mfa, process, profile, role, session_token
from imds.config.sources.assume_root import FromAssumeRoot, read_assume_root
from imds.config.sources.cognito import FromCognito, FromCognitoToken, read_cognito
from imds.config.sources.federation_token import FromFederationToken
from imds.config.sources.keys import FromKeys
from imds.config.sources.metadata_services import FromContainer, FromInstanceMetadata
from imds.config.sources.process import FromProcess
from imds.config.sources.profile import FromProfile
from imds.config.sources.role import FromRole
from imds.config.sources.roles_anywhere import FromRolesAnywhere, read_roles_anywhere
from imds.config.sources.saml import FromSaml, read_saml
from imds.config.sources.session_token import FromSessionToken
from imds.config.sources.web_identity import FromWebIdentity, read_web_identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from imds.config.document import Node

__all__ = [
    "FromAssumeRoot",
    "FromCognito",
    "FromCognitoToken",
    "FromContainer",
    "FromFederationToken",
    "FromInstanceMetadata",
    "FromKeys",
    "FromProcess",
    "FromProfile",
    "FromRole",
    "FromRolesAnywhere",
    "FromSaml",
    "FromSessionToken",
    "FromWebIdentity",
    "Source",
    "base_role",
    "read_source",
]

Source = (
    FromProfile
    | FromRole
    | FromKeys
    | FromProcess
    | FromWebIdentity
    | FromSaml
    | FromCognito
    | FromCognitoToken
    | FromInstanceMetadata
    | FromContainer
    | FromSessionToken
    | FromFederationToken
    | FromRolesAnywhere
    | FromAssumeRoot
)

READERS: dict[str, Callable[[Node], Source | None]] = {
    "profile": profile.read_profile,
    "keys": keys.read_keys,
    "process": process.read_process,
    "web_identity": read_web_identity,
    "saml": read_saml,
    "cognito": read_cognito,
    "roles_anywhere": read_roles_anywhere,
    "instance_metadata": metadata_services.read_instance_metadata,
    "container": metadata_services.read_container,
    "session_token": session_token.read_session_token,
    "federation_token": federation_token.read_federation_token,
}
"""Every kind but those that name another role."""

KINDS = (*READERS, "role", "assume_root")


def read_source(node: Node, name: str, names: tuple[str, ...]) -> Source | None:
    """Return a role's source, None when it has mistakes.

    Args:
        node: the entry.
        name: the role that has it.
        names: the names of all roles.
    """
    found = _read_kind(node)
    if found is None:
        return None
    kind, entry, beside = found
    if beside:
        return session_token.read_with_mfa(beside, kind, entry)
    if kind == "role":
        return role.read_other_role(entry, name, names)
    if kind == "assume_root":
        return read_assume_root(entry, name, names)
    return READERS[kind](entry)


def _read_kind(node: Node) -> tuple[str, Node, dict[str, Node]] | None:
    """Return the kind of a source, what it says, and what of MFA stands beside it."""
    if node.is_scalar:
        node.wrong("must be a mapping: {profile: NAME} for a profile of ~/.aws, {role: NAME} for another role")
        return None
    mistakes = len(node.problems.found)
    entries = node.section(*KINDS, *mfa.KEYS)
    if len(node.problems.found) > mistakes:
        return None
    beside = {key: entries.pop(key) for key in mfa.KEYS if key in entries}
    if len(entries) != 1:
        kinds = ", ".join(KINDS)
        node.wrong(f"has {' and '.join(entries)}: keep one" if entries else f"must have exactly one of {kinds}")
        return None
    return (*next(iter(entries.items())), beside)


def base_role(source: Source) -> str | None:
    """Return the other role that a source needs, None where it needs none."""
    match source:
        case FromRole():
            return source.role
        case FromAssumeRoot(base=FromRole() as base):
            return base.role
    return None
