"""Units of systemd that start another program than they should."""

from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import imds
from imds.cli.checks.finding import edit, warning
from imds.host.service import files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imds.cli.checks.finding import Finding
    from imds.cli.checks.situation import Situation

SYSTEM = (Path("/etc/systemd/system"), Path("/run/systemd/system"), Path("/usr/local/lib/systemd/system"))
NAMES = ("imds.service", "imds@.service")
PACKAGE = "imds_server-"


def stale_unit(situation: Situation) -> Iterator[Finding]:
    """A unit starts a program that is gone, or of another version than this command."""
    config = situation.environment.get("XDG_CONFIG_HOME") or "~/.config"
    own = situation.path(f"{config}/systemd/user")
    for path in (folder / name for folder in (*SYSTEM, own) for name in NAMES):
        for number, program in _programs(path):
            if (why := _stale(program)) is not None:
                yield warning(
                    f"{path.name} starts {program}, which {why}",
                    where=f"{situation.shown(path)}:{number}",
                    fix=_fix(path, number, program, user=path.parent == own),
                )


def _fix(path: Path, number: int, program: str, *, user: bool) -> str:
    """Return the command that has a unit start this program."""
    if files.is_ours(path):
        return f"{_this()} service install --user" if user else f"sudo {_this()} service install"
    reload = "systemctl --user" if user else "sudo systemctl"
    return f"{edit(f'{number}s|{program}|{_this()}|', path)} && {reload} daemon-reload"


def _programs(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that start a program called imds, and its path."""
    lines: list[str] = []
    with suppress(OSError):
        if path.is_file():
            lines = path.read_text(errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        if line.startswith("ExecStart="):
            words = line.partition("=")[2].lstrip("-@:+!").split()
            if words and Path(words[0]).name == "imds":
                yield number, words[0]


def _stale(program: str) -> str | None:
    """Return what is wrong with a program; it is not executed, since it may be anybody's and we may be root."""
    found = shutil.which(program)
    if found is None:
        return "is not there"
    libraries = Path(found).resolve().parent.parent / "lib"
    versions = [
        package.name.removeprefix(PACKAGE).removesuffix(".dist-info")
        for package in libraries.glob(f"python3*/site-packages/{PACKAGE}*.dist-info")
    ]
    if versions and imds.__version__ not in versions:
        return f"is version {versions[0]}, not {imds.__version__}"
    return None


def _this() -> str:
    """Return the program that runs now."""
    beside = Path(sys.executable).with_name("imds")
    return str(beside) if beside.exists() else shutil.which("imds") or "imds"
