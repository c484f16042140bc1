"""Files that ``imds service`` writes: each says so in its first line, with a digest of the rest.

By it a file of ours is told from one of somebody else's, and one that somebody has changed since.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_MARK = re.compile(r"# Written by `imds service install`.*\[([0-9a-f]{16})\]\n")
_SAY = (
    "# Written by `imds service install`, which replaces it: put changes into a drop-in (systemctl edit). [{digest}]\n"
)


class Condition(Enum):
    """What is on the disk in a file's place."""

    MISSING = "missing"
    CURRENT = "current"
    STALE = "stale"  # ours, of another version or installation
    CHANGED = "changed"  # ours, and somebody has changed it since
    FOREIGN = "foreign"  # somebody else's


@dataclass(frozen=True, slots=True, kw_only=True)
class OurFile:
    """A file as it is to be.

    Attributes:
        text: without the first line, which ``content`` adds.
    """

    path: Path
    text: str

    @property
    def content(self) -> str:
        """The whole file."""
        return _SAY.format(digest=_digest(self.text)) + self.text

    def condition(self) -> Condition:
        """Return what is there now."""
        there = read(self.path)
        if there is None:
            return Condition.MISSING
        if there == self.content:
            return Condition.CURRENT
        return condition_of(there)

    def difference(self) -> list[str]:
        """Return the lines that change, with ``-`` or ``+`` before each; comments left out."""
        before = (read(self.path) or "").splitlines()
        lines = list(difflib.unified_diff(before, self.content.splitlines(), n=0, lineterm=""))[2:]
        return [f"{line[0]} {line[1:]}" for line in lines if line[0] in "+-" and line[1:2] not in ("#", "")]

    def write(self) -> None:
        """Write it whole or not at all, for all to read.

        Raises:
            OSError: it cannot be written.
        """
        self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.new")
        with suppress(FileNotFoundError):
            temporary.unlink()
        with temporary.open("x", encoding="utf-8") as file:
            file.write(self.content)
        temporary.chmod(0o644)
        temporary.replace(self.path)


def read(path: Path) -> str | None:
    """Return a file's text; None where there is none, or a link that leads nowhere."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return "" if path.is_symlink() else None


def condition_of(text: str) -> Condition:
    """Return whose a file with this text is."""
    mark = _MARK.match(text)
    if mark is None:
        return Condition.FOREIGN
    return Condition.STALE if mark[1] == _digest(text[mark.end() :]) else Condition.CHANGED


def is_ours(path: Path) -> bool:
    """Whether ``imds service`` wrote a file that is there."""
    text = read(path)
    return text is not None and condition_of(text) is not Condition.FOREIGN


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
