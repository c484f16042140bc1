"""``{federation_token: {profile: NAME, name: …, policy_arns: […]}}``: GetFederationToken."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imds.config.policies import read_policy, read_policy_arns
from imds.config.sources.kind import SourceKind
from imds.config.sources.reading import missing
from imds.config.sources.session_token import DEFAULT_DURATION, read_duration, read_long_term

if TYPE_CHECKING:
    from datetime import timedelta

    from imds.config.document import Node
    from imds.config.sources.keys import FromKeys
    from imds.config.sources.profile import FromProfile

NAME = re.compile(r"[\w+=,.@-]{2,32}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class FromFederationToken(SourceKind):
    """A user's session that has no more rights than its policies."""

    kind = "federation_token"
    takes_no_role = "a federated session cannot assume a role: narrow it with its own policy or policy_arns"
    temporary = True
    keys: FromProfile | FromKeys
    name: str
    policy: str | None = None
    policy_arns: tuple[str, ...] = ()
    duration: timedelta = DEFAULT_DURATION

    def __str__(self) -> str:
        return f"a federated session of {self.keys}"


def read_federation_token(node: Node) -> FromFederationToken | None:
    """Return the value of ``federation_token``."""
    entries = node.section("profile", "keys", "name", "policy", "policy_arns", "duration")
    keys, duration = read_long_term(node, entries), read_duration(entries)
    policy, arns = read_policy(entries.get("policy")), read_policy_arns(entries.get("policy_arns"))
    if "policy" not in entries and "policy_arns" not in entries:
        node.wrong("has no policy and no policy_arns: without one a federated session may do nothing")
        return None
    if missing(node, entries, "name"):
        return None
    name = entries["name"].matching(NAME, "2 to 32 letters, digits or any of _+=,.@-")
    if keys is None or name is None:
        return None
    return FromFederationToken(keys=keys, name=name, policy=policy, policy_arns=arns, duration=duration)
