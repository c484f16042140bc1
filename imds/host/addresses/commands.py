"""Commands of iproute2 and nftables: shown to people as a shell takes them, and run."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

from imds.host.addresses import AddressesError

TIMEOUT = 20.0
WHERE = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where the programs are that ``PATH`` of ordinary users leaves out."""

PACKAGES = {"ip": "iproute2 (Fedora: iproute)", "nft": "nftables", "iptables-legacy-save": "iptables"}


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        words: the program and its arguments.
        typed: its standard input.
    """

    words: tuple[str, ...]
    typed: str = ""

    def __str__(self) -> str:
        line = shlex.join(self.words)
        return f"{line} <<'EOF'\n{self.typed.rstrip()}\nEOF" if self.typed else line

    def run(self) -> str:
        """Return what it prints.

        Raises:
            AddressesError: it failed; says how.
        """
        program = find(self.words[0])
        try:
            done = subprocess.run(  # noqa: S603 - words of ours
                [program, *self.words[1:]],
                input=self.typed,
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
                env=os.environ | {"LC_ALL": "C"},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AddressesError(f"`{shlex.join(self.words)}`: {error}") from error
        if done.returncode != 0:
            said = " ".join(done.stderr.split()) or f"status {done.returncode}"
            raise AddressesError(f"`{shlex.join(self.words)}` failed: {said}")
        return done.stdout


def command(line: str, typed: str = "") -> Command:
    """Return a command from words with spaces between."""
    return Command(tuple(line.split()), typed)


def find(program: str) -> str:
    """Return where a program is.

    Raises:
        AddressesError: it is not installed; says which package has it.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *WHERE])
    found = shutil.which(program, path=path)
    if found is None:
        raise AddressesError(f"the program `{program}` is missing: install the package {PACKAGES[program]}")
    return found


def ask(line: str) -> Any:  # noqa: ANN401 - JSON
    """Return what a command prints as JSON.

    Raises:
        AddressesError: it failed.
    """
    printed = command(line).run()
    try:
        return json.loads(printed) if printed.strip() else []
    except ValueError as error:
        raise AddressesError(f"`{line}` does not print JSON: a newer version is needed") from error
