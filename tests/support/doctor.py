"""``imds doctor`` in a shell of its own, with whatever was pasted there before."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from support.fakes import KNOWN_SECRETS

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Shell:
    """A user's shell.

    Attributes:
        environment: of the shell.
        prefix: a command in front of it, such as ``ip netns exec NAME``.
        typed: what was pasted into it.
    """

    environment: dict[str, str]
    prefix: tuple[str, ...] = ()
    typed: list[str] = field(default_factory=list)

    def paste(self, line: str) -> Shell:
        """Return the shell after a line was pasted; it is executed there and then, and again for its variables."""
        self._run(line)
        return Shell(self.environment, self.prefix, [*self.typed, line])

    def doctor(self, *arguments: str) -> dict[str, dict[str, str]]:
        """Return what ``imds doctor --json`` finds, by name."""
        done = self._run(f"exec '{sys.executable}' -m imds doctor --json {' '.join(arguments)}")
        found = json.loads(done.stdout)
        assert done.returncode == (1 if found else 0), done.stderr
        assert all(set(one) == {"id", "severity", "what", "where", "fix"} and all(one.values()) for one in found)
        assert done.stderr == ""
        return {one["id"]: one for one in found}

    def told(self, *arguments: str) -> str:
        """Return what ``imds doctor`` tells people."""
        return self._run(f"exec '{sys.executable}' -m imds doctor {' '.join(arguments)}").stdout

    def _run(self, line: str) -> subprocess.CompletedProcess[str]:
        variables = [text for text in self.typed if text.startswith(("export ", "unset "))]
        done = subprocess.run(
            [*self.prefix, "bash", "-c", "\n".join([*variables, line])],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for secret in KNOWN_SECRETS:
            assert secret not in done.stdout + done.stderr, "a secret is in what it prints"
        return done


def mended(shell: Shell, name: str, where: str = "", what: str = "") -> dict[str, dict[str, str]]:
    """Check that a condition is found, named and placed, and that pasting its fix mends it; return what is left."""
    found = shell.doctor()
    assert name in found, found
    assert where in found[name]["where"], found[name]
    assert what in found[name]["what"], found[name]
    still = shell.paste(found[name]["fix"]).doctor()
    assert name not in still, (found[name], still[name])
    return still


def write(path: Path, text: str) -> Path:
    """Write a file, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
