"""What a check finds, and what to do about it."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

ERROR: Final = "error"
"""It keeps clients from these credentials."""

WARNING: Final = "warning"
"""It keeps some clients from them, or will."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong; no secret is in any text of it.

    Attributes:
        severity: ``error`` or ``warning``.
        what: what is wrong, for people.
        where: variables, ``FILE:LINE``, an address or a daemon.
        fix: a command to paste, or what to write into the file that ``where`` names.
    """

    severity: str
    what: str
    where: str
    fix: str


def error(what: str, *, where: str, fix: str) -> Finding:
    """Return a finding that keeps clients from these credentials."""
    return Finding(severity=ERROR, what=what, where=where, fix=fix)


def warning(what: str, *, where: str, fix: str) -> Finding:
    """Return a finding that keeps some clients from them, or will."""
    return Finding(severity=WARNING, what=what, where=where, fix=fix)


def unset(*names: str) -> str:
    """Return the command that takes variables away."""
    return f"unset {' '.join(names)}"


def export(name: str, value: str) -> str:
    """Return the command that sets a variable."""
    return f"export {name}={shlex.quote(value)}"


def edit(script: str, path: Path) -> str:
    """Return the command that changes a file with a script of ``sed``."""
    sudo = "" if os.access(path, os.W_OK) else "sudo "
    return f"{sudo}sed -i --follow-symlinks {shlex.quote(script)} {shlex.quote(str(path))}"


def last_four(key: str) -> str:
    """Return as much of an access key's id as anybody may see."""
    return f"…{key[-4:]}" if len(key) > 8 else "…"  # noqa: PLR2004 - of a short one even that would tell much
