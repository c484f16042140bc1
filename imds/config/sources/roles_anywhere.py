"""``{roles_anywhere: {trust_anchor_arn: …, profile_arn: …, certificate: PATH, private_key: PATH}}``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from imds.config.sources.kind import NARROWING_KEYS, STAMPING_KEYS, SourceKind
from imds.config.sources.reading import missing

if TYPE_CHECKING:
    from pathlib import Path

    from imds.config.document import Node

REQUIRED = ("trust_anchor_arn", "profile_arn", "certificate", "private_key")
_ARN = r"arn:aws[a-z-]*:rolesanywhere:[a-z0-9-]+:\d{12}:%s/[0-9a-f-]{36}"
TRUST_ANCHOR_ARN = re.compile(_ARN % "trust-anchor")
PROFILE_ARN = re.compile(_ARN % "profile")


@dataclass(frozen=True, slots=True, kw_only=True)
class FromRolesAnywhere(SourceKind):
    """An X.509 certificate and its key."""

    kind = "roles_anywhere"
    needs_role = True
    names_session = True
    not_taken = MappingProxyType(
        dict.fromkeys(STAMPING_KEYS, "is nothing that Roles Anywhere takes")
        | dict.fromkeys(
            NARROWING_KEYS,
            "is nothing that Roles Anywhere takes: set it on its profile, or on a role that this one assumes",
        )
    )
    trust_anchor_arn: str
    profile_arn: str
    certificate: Path
    private_key: Path
    chain: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Certificate, key and chain."""
        return tuple(path for path in (self.certificate, self.private_key, self.chain) if path is not None)

    @property
    def waits_for(self) -> str:
        """Whoever rotates the certificate does so."""
        return f"a new certificate: {self.certificate}"

    def __str__(self) -> str:
        return f"the certificate {self.certificate}"


def read_roles_anywhere(node: Node) -> FromRolesAnywhere | None:
    """Return the value of ``roles_anywhere``."""
    entries = node.section(*REQUIRED, "chain")
    if missing(node, entries, *REQUIRED):
        return None
    anchor = entries["trust_anchor_arn"].matching(TRUST_ANCHOR_ARN, "the ARN of a trust anchor")
    profile = entries["profile_arn"].matching(PROFILE_ARN, "the ARN of a Roles Anywhere profile")
    certificate, key = entries["certificate"].path(), entries["private_key"].path()
    chain = entries["chain"].path() if "chain" in entries else None
    if anchor is None or profile is None or certificate is None or key is None:
        return None
    return FromRolesAnywhere(
        trust_anchor_arn=anchor, profile_arn=profile, certificate=certificate, private_key=key, chain=chain
    )
