"""What several kinds of source have in common: commands, tokens in files or printed by programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.config.document import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A token or an assertion: in a file, or printed by a program; one of them."""

    file: Path | None = None
    command: tuple[str, ...] | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The file."""
        return (self.file,) if self.file is not None else ()

    @property
    def programs(self) -> tuple[str, ...]:
        """The program."""
        return self.command[:1] if self.command is not None else ()

    def __str__(self) -> str:
        return f"printed by {Path(self.command[0]).name}" if self.command else f"in {self.file}"


def read_evidence(node: Node, entries: Mapping[str, Node], what: str) -> Evidence | None:
    """Return ``WHAT_file`` or ``WHAT_command`` of a section; exactly one must be there."""
    file, command = entries.get(f"{what}_file"), entries.get(f"{what}_command")
    if (file is None) == (command is None):
        node.wrong(f"must have exactly one of {what}_file, {what}_command")
        return None
    if file is not None:
        path = file.path()
        return Evidence(file=path) if path else None
    arguments = read_command(command) if command is not None else None
    return Evidence(command=arguments) if arguments else None


def read_command(node: Node) -> tuple[str, ...] | None:
    """Return a program and its arguments; there is no shell that would take a single text apart."""
    if node.is_scalar and not node.is_null:
        node.wrong("must be a list, since no shell reads it: [PROGRAM, ARGUMENT, …]")
        return None
    items = node.items()
    arguments = tuple(text for item in items if (text := item.text()) is not None)
    if len(arguments) != len(items):
        return None
    if not arguments or not arguments[0]:
        node.wrong("names no program: write [PROGRAM, ARGUMENT, …]")
        return None
    if arguments[0].startswith("~"):
        arguments = (str(Path(arguments[0]).expanduser()), *arguments[1:])
    if "/" in arguments[0] and not arguments[0].startswith("/"):
        node.wrong(f"{arguments[0]!r} must be an absolute path (or begin with ~), or a name to look for on PATH")
        return None
    return arguments


def missing(node: Node, entries: Mapping[str, Node], *required: str) -> bool:
    """Note what a section lacks; return whether it lacks something."""
    absent = [key for key in required if key not in entries]
    if absent:
        node.wrong(f"has no {' and no '.join(absent)}")
    return bool(absent)
