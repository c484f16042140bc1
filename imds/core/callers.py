"""The caller: the process at the other end of a connection, as far as the kernel and the container engines know it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


def printable(text: str) -> str:
    """Return a text that a caller chose without what would break a line or steer a terminal."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


class Place(Enum):
    """Where a caller is."""

    HERE = "here"  # its socket is in this host's network namespace, or was until a moment ago
    ELSEWHERE = "elsewhere"  # its address is none of ours: another host, or another network namespace


class Fact(Enum):
    """What takes time to find out of a caller."""

    OWNER = "owner"  # its user's id; the kernel of Linux tells it at once
    NAMES = "names"  # its user's name and groups
    PROCESS = "process"  # its process, control group and container


NOTHING: frozenset[Fact] = frozenset()
OWNER = frozenset({Fact.OWNER})
OWNER_AND_NAMES = frozenset({Fact.OWNER, Fact.NAMES})
EVERYTHING = frozenset(Fact)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A process, as its rules know it.

    Attributes:
        pid: its number.
        exe: the path of its executable; None where this daemon may not know.
        command: its command name, up to 15 characters (``/proc/PID/comm``); a script has its own name.
        script: the file that an interpreter runs, without its folder, or the option with which it was given a program
            (``-c``); None for anything else.
    """

    pid: int
    exe: str | None
    command: str | None
    script: str | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        name = self.exe.rpartition("/")[2] if self.exe is not None else self.command or ""
        if self.script is None:
            return name
        return f"{name} {self.script}" if self.script.startswith("-") else self.script


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process and those that it comes from, its parent first."""

    program: Program
    ancestors: tuple[Program, ...] = ()

    @property
    def lineage(self) -> tuple[Program, ...]:
        """The process itself and its ancestors."""
        return (self.program, *self.ancestors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container, as its engine knows it."""

    id: str
    name: str
    image: str
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def project(self) -> str | None:
        """Its compose project."""
        return dict(self.labels).get("com.docker.compose.project")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The process at the other end of a connection.

    Attributes:
        address: its IP address.
        listener: the address of ours that it asked, with its port, as clients write it.
        uid: user id of the socket's creator; None when no such socket is known here.
        user: that user's name, None where it has none, or that is not known.
        groups: names of the user's groups; None where the user is not known.
        place: whether it is on this host's network at all; who is elsewhere is no user of this host.
        cgroup: its control group's path; None where not known.
        lease_role: the role of the live lease of its user in whose scope it runs; None where it is in none that is
            known to be live.
        process: None where not known.
        container: None where it is in none, or that is not known.
        in_container: whether it is in a container; None where that is not known.
        container_uid: user id, as this host counts, of a process in a container with a network of its own. It is not
            ``uid``: whoever is root in there has any number they like.
        looked_up: what has been asked for; it may not be known all the same.
    """

    address: str
    listener: str = ""
    uid: int | None = None
    user: str | None = None
    groups: tuple[str, ...] | None = None
    place: Place = Place.HERE
    cgroup: str | None = None
    process: Process | None = None
    container: Container | None = None
    in_container: bool | None = None
    container_uid: int | None = None
    lease_role: str | None = None
    looked_up: frozenset[Fact] = NOTHING

    def with_facts(
        self,
        *,
        cgroup: str | None,
        process: Process | None,
        container: Container | None,
        in_container: bool | None,
    ) -> Caller:
        """Return the caller with what could be found out of its process."""
        return replace(
            self,
            cgroup=cgroup,
            process=process,
            container=container,
            in_container=in_container,
            looked_up=self.looked_up | {Fact.PROCESS},
        )

    def with_names(self, user: str | None, groups: tuple[str, ...] | None) -> Caller:
        """Return the caller with what could be found out of its user."""
        return replace(self, user=user, groups=groups, looked_up=self.looked_up | {Fact.NAMES})

    def __str__(self) -> str:
        if self.container is not None:
            where = f"container {self.container.name} at {self.address}"
            return where if self.process is None else f"{self._program} in {where}"
        if self.uid is None:
            return f"unknown process at {self.address}"
        who = f"{self.user or 'user'} (uid {self.uid})"
        if self.process is None:
            return who
        return f"{self._program} of {who}"

    @property
    def _program(self) -> str:
        program = self.process.program if self.process is not None else None
        return f"{printable(program.exe or program.command or 'a program')} (pid {program.pid})" if program else ""
