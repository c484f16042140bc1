"""``{process: {command: […], timeout: 20s}}``: a program that prints credentials."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from imds.config.sources.kind import SourceKind
from imds.config.sources.reading import read_command

if TYPE_CHECKING:
    from imds.config.document import Node

DEFAULT_TIMEOUT = timedelta(seconds=30)
LONGEST_TIMEOUT = timedelta(seconds=55)
"""A little less than what the daemon grants any source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FromProcess(SourceKind):
    """A program, with how long it may take."""

    kind = "process"
    command: tuple[str, ...]
    timeout: timedelta = DEFAULT_TIMEOUT

    @property
    def programs(self) -> tuple[str, ...]:
        """The program."""
        return self.command[:1]

    def __str__(self) -> str:
        return f"what {Path(self.command[0]).name} prints"


def read_process(node: Node) -> FromProcess | None:
    """Return the value of ``process``."""
    entries = node.section("command", "timeout")
    if "command" not in entries:
        node.wrong("has no command: write command: [PROGRAM, ARGUMENT, …]")
        return None
    command = read_command(entries["command"])
    timeout = entries["timeout"].duration(timedelta(seconds=1), LONGEST_TIMEOUT) if "timeout" in entries else None
    return FromProcess(command=command, timeout=timeout or DEFAULT_TIMEOUT) if command else None
