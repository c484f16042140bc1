"""Which program a service is to run: this very installation, where a service can reach it."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import imds

HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
"""What ``ProtectHome=`` hides (systemd.exec(5))."""

HIDDEN = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))  # noqa: S108 - named in order to refuse them
"""What ``PrivateTmp=`` hides, or a boot empties."""

ELSEWHERE = "/usr/bin/python3 -m venv /opt/imds && /opt/imds/bin/pip install"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A Python environment that has this program.

    Attributes:
        program: the command ``imds``, as absolute paths and arguments.
        needs: folders and files that whoever runs it has to be able to read.
    """

    program: tuple[str, ...]
    needs: tuple[Path, ...]


def this_installation() -> Installation:
    """Return where the running program is installed."""
    python = Path(sys.executable)
    script = python.with_name("imds")
    program = (str(script),) if script.is_file() else (str(python), "-P", "-m", "imds")
    package = Path(imds.__file__).parent
    behind = python.resolve()
    needs = (Path(program[0]), python, behind, package)
    return Installation(program=program, needs=tuple(dict.fromkeys(needs)))


def why_not_of_the_system(installation: Installation) -> str | None:
    """Return why a service of the system cannot run an installation, for people; None where it can."""
    for path in installation.needs:
        for real in dict.fromkeys((path, path.resolve())):
            if (folder := _below(real, HOMES)) is not None:
                return (
                    f"{real} is below {folder}, and a service of the system sees no home: install imds where it can be "
                    f"read by all, with the system's own Python:\nsudo {ELSEWHERE} …"
                )
            if (folder := _below(real, HIDDEN)) is not None:
                return (
                    f"{real} is below {folder}, which a service does not see: install it elsewhere:\nsudo {ELSEWHERE} …"
                )
            if (closed := _closed(real)) is not None:
                return f"{closed} cannot be read by others, so a service of the system cannot run {real}: chmod o+rX it"
    return None


def warnings(installation: Installation) -> list[str]:
    """Return who, besides root, decides what a service of the system would run."""
    found: dict[str, str] = {}
    for path in installation.needs:
        real = path.resolve()
        for one in (real, *real.parents):
            status = one.stat()
            others = status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX
            if status.st_uid or others:
                who = f"uid {status.st_uid}" if status.st_uid else "others"
                found.setdefault(who, f"{one} may be changed by {who}, who thereby decides what the service runs")
    return list(found.values())


def systemd_command(program: tuple[str, ...]) -> str:
    """Return a command as ``ExecStart=`` wants it: quoted where need be, without specifiers and variables."""
    return " ".join(_systemd_word(word) for word in program)


def _systemd_word(word: str) -> str:
    word = word.replace("%", "%%").replace("$", "$$")
    if word and not set(word) & set(" \t\"'\\;"):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _below(path: Path, folders: tuple[Path, ...]) -> Path | None:
    return next((folder for folder in folders if path.is_relative_to(folder)), None)


def _closed(path: Path) -> Path | None:
    """Return the file or folder on the way that other users may not read."""
    for one in (path, *path.parents):
        status = os.stat(one)  # noqa: PTH116 - of what a link leads to
        if not status.st_mode & (stat.S_IXOTH if stat.S_ISDIR(status.st_mode) else stat.S_IROTH):
            return one
    return None
