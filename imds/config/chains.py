"""Chains of roles: a role, the role that it comes from, and so on to the source at the beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imds.config import sources as kinds
from imds.config.sources import base_role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.config.schema import Role
    from imds.config.sources import Source

Chain = tuple["Role", ...]
"""A role and those that it comes from, the one at the beginning last."""


def chain(roles: Mapping[str, Role], name: str) -> Chain:
    """Return a role and the roles that it comes from; the configuration has no loops."""
    return tuple(roles[one] for one in names_in_chain(roles, name))


def names_in_chain(roles: Mapping[str, Role], name: str) -> tuple[str, ...]:
    """Return the name of a role and of those that it comes from."""
    other = base_role(roles[name].source)
    return (name, *names_in_chain(roles, other)) if other is not None else (name,)


def first_source(roles: Mapping[str, Role], name: str) -> Source:
    """Return the source at the beginning of a role's chain, from which credentials are loaded."""
    source = chain(roles, name)[-1].source
    return source.base if isinstance(source, kinds.FromAssumeRoot) else source


def profile_of(source: Source) -> str | None:
    """Return the profile whose region and endpoints a source has; None where it names none."""
    match source:
        case kinds.FromProfile():
            return source.profile
        case kinds.FromSessionToken() | kinds.FromFederationToken():
            return profile_of(source.keys)
        case kinds.FromAssumeRoot():
            return profile_of(source.base)
    return None
