"""``{web_identity: {token_file: PATH}}`` or ``token_command``: an OIDC token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imds.config.sources.kind import SET_BY_PROVIDER, SourceKind
from imds.config.sources.reading import Evidence, read_evidence

if TYPE_CHECKING:
    from pathlib import Path

    from imds.config.document import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class FromWebIdentity(SourceKind):
    """An OIDC token, with which a role is assumed."""

    kind = "web_identity"
    needs_role = True
    not_taken = SET_BY_PROVIDER
    token: Evidence

    @property
    def files(self) -> tuple[Path, ...]:
        """The token's file."""
        return self.token.files

    @property
    def programs(self) -> tuple[str, ...]:
        """The program that prints it."""
        return self.token.programs

    @property
    def waits_for(self) -> str:
        """Whoever writes or prints it signs in again."""
        return f"a new token {self.token}"

    def __str__(self) -> str:
        return f"the OIDC token {self.token}"


def read_web_identity(node: Node) -> FromWebIdentity | None:
    """Return the value of ``web_identity``."""
    token = read_evidence(node, node.section("token_file", "token_command"), "token")
    return FromWebIdentity(token=token) if token else None
