"""``{role: NAME}``: another role of the same configuration (role chaining)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imds.config.sources.kind import SourceKind

if TYPE_CHECKING:
    from imds.config.document import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class FromRole(SourceKind):
    """Another role."""

    kind = "role"
    temporary = True
    needs_role = True
    role: str

    def __str__(self) -> str:
        return f"role {self.role}"


def read_other_role(node: Node, name: str, names: tuple[str, ...]) -> FromRole | None:
    """Return the value of ``role``, which must be one of ``names`` but ``name``."""
    other = node.text(what="the name of another role")
    if other is None:
        return None
    if other == name or other not in names:
        known = ", ".join(known for known in names if known != name) or "none"
        node.wrong(f"{other!r} is not the name of another role; there are: {known}")
        return None
    return FromRole(role=other)
