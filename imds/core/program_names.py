"""What a program is called: by its executable, its script, its command. Each answer is yes, no, or not to be known."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imds.core.callers import Program

LONGEST_COMMAND = 15
"""Characters that the kernel keeps of a command's name."""

INTERPRETERS = ("python", "node", "ruby", "perl", "bash", "sh", "zsh", "dash", "bun", "deno")
"""Programs whose first argument says more than they do."""

Patterns = tuple[str, ...]


def is_exe(program: Program, patterns: Patterns) -> bool | None:
    """Return whether a program's executable has one of some paths, or names."""
    if program.exe is None:
        return None
    return any(fnmatchcase(program.exe if "/" in pattern else name_of(program.exe), pattern) for pattern in patterns)


def is_named(program: Program, patterns: Patterns) -> bool | None:
    """Return whether a program has one of some names: its executable, its script or its command."""
    return some(_has_name(program, pattern) for pattern in patterns)


def _has_name(program: Program, pattern: str) -> bool | None:
    """Return whether a program has a name; where its executable may not be known, its command's name is enough."""
    name = name_of(pattern)
    if program.exe is not None and fnmatchcase(program.exe if "/" in pattern else name_of(program.exe), pattern):
        return True
    if "/" not in pattern and program.script is not None and fnmatchcase(program.script, pattern):
        return True
    if program.command is None:
        return None if program.exe is None else False
    by_command = is_command(program.command, name)
    if "/" not in pattern and not by_command and program.exe is None and is_interpreter(program.command):
        return None  # which script it runs is not known
    if "/" not in pattern:
        return by_command
    return None if by_command and program.exe is None else False


def is_command(command: str, pattern: str) -> bool:
    """Return whether a command has a name, which the kernel may have cut short."""
    cut = len(command) == LONGEST_COMMAND and fnmatchcase(command, pattern[:LONGEST_COMMAND])
    return fnmatchcase(command, pattern) or cut


def is_interpreter(program: str) -> bool:
    """Return whether a program's first argument says more than its name does; a version may follow that."""
    return program.rstrip("0123456789.") in INTERPRETERS


def some(answers: Iterable[bool | None]) -> bool | None:
    """Return whether one of the answers is yes; None where one may be."""
    unknown = False
    for answer in answers:
        if answer:
            return True
        unknown = unknown or answer is None
    return None if unknown else False


def name_of(path: str) -> str:
    """Return the last part of a path."""
    return path.rpartition("/")[2]
