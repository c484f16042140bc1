"""Chains of roles: a role, the role that it comes from, and so on to the source at the beginning."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import MISSING, fields, is_dataclass
from typing import TYPE_CHECKING

from imds.config import sources as kinds
from imds.config.sources import base_role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.config.schema import Role
    from imds.config.sources import Source

_SECRET = re.compile(r"AWS_(?:SECRET_ACCESS_KEY|.*_TOKEN|BEARER_TOKEN_.*)")
"""Variables that hold a secret, which has no say in whether a role is the same."""

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


def digest(chain: Chain, region: str | None, environment: Mapping[str, str]) -> str:
    """Return what is the same for two daemons only where a role means the same to both.

    A value that is as it is by default is left out, so that a newer version with further keys does not change it.

    Args:
        chain: of the role.
        region: the operator's.
        environment: the daemon's; its ``AWS_`` variables lead sources elsewhere.
    """
    variables = {
        name: value
        for name, value in environment.items()
        if name == "HOME" or (name.startswith("AWS_") and not _SECRET.fullmatch(name))
    }
    text = json.dumps([_plain(chain), region, variables], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _plain(value: object) -> object:
    """Return dataclasses as mappings of what they are compared by, everything else as it is."""
    if is_dataclass(value):
        entries = {
            field.name: _plain(getattr(value, field.name))
            for field in fields(value)
            if field.compare and (field.default is MISSING or getattr(value, field.name) != field.default)
        }
        return {"": type(value).__name__, **entries}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
