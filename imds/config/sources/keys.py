"""``{keys: environment}`` or ``{keys: {file: PATH}}``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imds.config.sources.kind import SourceKind

if TYPE_CHECKING:
    from pathlib import Path

    from imds.config.document import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class FromKeys(SourceKind):
    """Keys in a file; None is the environment."""

    kind = "keys"
    file: Path | None

    @property
    def files(self) -> tuple[Path, ...]:
        """The file."""
        return (self.file,) if self.file is not None else ()

    def __str__(self) -> str:
        return f"keys in {self.file}" if self.file else "keys in the environment"


def read_keys(node: Node) -> FromKeys | None:
    """Return the value of ``keys``."""
    if node.is_scalar and "/" in (node.text() or ""):
        node.wrong("must be environment, or a file: {file: PATH}")
        return None
    if node.is_scalar:
        return FromKeys(file=None) if node.one_of("environment") else None
    entries = node.section("file")
    if "file" not in entries:
        node.wrong("must be environment, or {file: PATH}")
        return None
    file = entries["file"].path()
    return FromKeys(file=file) if file else None
