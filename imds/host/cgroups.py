"""Control groups: from the id that the kernel gives with a socket to a path, and from a path to a container.

Source: cgroups(7); a cgroup v2 directory's inode number is the group's id.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path

MOST_KEPT = 1024
MOST_LOOKED_AT = 20_000
"""Directories of one search."""

_CONTAINER = re.compile(
    r"/(?:docker|libpod|libpod_parent|machine|kubepods[^/]*|crio|cri-containerd|lxc)?[^/]*?([0-9a-f]{64})(?:\.scope)?(?=/|$)"
)


@cache
def mount_point() -> Path | None:
    """Return where cgroup v2 is mounted; None where it is not."""
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            fields, _, kind = line.partition(" - ")
            if kind.startswith("cgroup2 "):
                return Path(fields.split()[4])
    return None


class Cgroups:
    """Paths by id; what was found is looked at again, since ids are never given anew but groups end."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}

    def path(self, cgroup_id: int | None) -> str | None:
        """Return the path below the mount point, such as ``/user.slice/…``; None where it cannot be known."""
        root = mount_point()
        if cgroup_id is None or root is None:
            return None
        known = self._known.get(cgroup_id)
        if known is not None and _id_of(f"{root}{known}") == cgroup_id:
            return known
        found = _search(str(root), cgroup_id)
        if found is not None:
            if len(self._known) >= MOST_KEPT:
                self._known.clear()
            self._known[cgroup_id] = found
        return found


def container_id(cgroup: str) -> str | None:
    """Return the id of the container that a control group belongs to, None when it belongs to none."""
    found = _CONTAINER.search(cgroup)
    return found[1] if found else None


def processes_in(cgroup: str) -> list[int]:
    """Return the processes in a control group and in those below it, as far as they may be known."""
    root = mount_point()
    found: list[int] = []
    if root is not None:
        for folder, _, _ in islice(os.walk(f"{root}{cgroup}"), MOST_LOOKED_AT):
            with suppress(OSError):
                found += map(int, Path(folder, "cgroup.procs").read_text().split())
    return found


def path_of_process(pid: int) -> str | None:
    """Return a process's cgroup v2 path."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            if line.startswith("0::"):
                return line.removeprefix("0::")
    return None


def _search(root: str, wanted: int) -> str | None:
    """Return the path of a group, looking through all of them level by level."""
    if _id_of(root) == wanted:
        return "/"
    level, looked_at = [root], 0
    while level and looked_at < MOST_LOOKED_AT:
        below = []
        for folder in level:
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        continue
                    looked_at += 1
                    if entry.inode() == wanted:
                        return entry.path.removeprefix(root) or "/"
                    below.append(entry.path)
        level = below
    return None


def _id_of(path: str) -> int | None:
    with suppress(OSError):
        return os.stat(path).st_ino
    return None
