"""What a rule asks of a caller. Each answer is yes, no, or that it cannot be known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING

from imds.core.callers import Fact, Place
from imds.core.leases import scope_of
from imds.core.program_names import Patterns, is_command, is_exe, is_named, some

if TYPE_CHECKING:
    from collections.abc import Callable

    from imds.core.callers import Caller, Container, Program

ANYBODY = "*"
_DELEGATED = re.compile(r".*?(?:/user@(?P<uid>\d+)\.service|[0-9a-f]{64}(?:\.scope)?)(?=/)")
"""The part of a control group's path that the system or a container engine gave; users choose what follows."""

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerMatch:
    """What a rule asks of a container; each part that is not empty must fit.

    Attributes:
        labels: names with patterns of their values.
    """

    names: Patterns = ()
    images: Patterns = ()
    projects: Patterns = ()
    labels: tuple[tuple[str, str], ...] = ()

    def fits(self, container: Container) -> bool:
        """Return whether ``container`` is meant."""
        labels = dict(container.labels)
        project = container.project
        return (
            (not self.names or _any(container.name, self.names))
            and (not self.images or _any(container.image, self.images))
            and (not self.projects or (project is not None and _any(project, self.projects)))
            and all(name in labels and fnmatchcase(labels[name], value) for name, value in self.labels)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a rule asks; every part that is there must fit, and any of a part's alternatives will do.

    Attributes:
        users: uids, or user names with ``*`` and ``?``.
        groups: patterns of group names.
        exes: patterns of an executable's path, or of its name where they have no slash.
        commands: patterns of a command's name.
        ancestors: as ``exes``, or the command's or script's name, of the process or any that it comes from.
        cgroups: patterns of a control group's path.
        units: patterns of a systemd unit's name.
        container: what is asked of the container.
        leases: patterns of the role of the lease in whose scope it runs.
        networks: that the address is in.
        listeners: addresses of ours that are asked, with their port; an empty host is any.
        own: the daemon's user, whose names of units and control groups count although the rule names no user.
    """

    users: tuple[int | str, ...] = ()
    groups: Patterns = ()
    exes: Patterns = ()
    commands: Patterns = ()
    ancestors: Patterns = ()
    cgroups: Patterns = ()
    units: Patterns = ()
    container: ContainerMatch | None = None
    leases: Patterns = ()
    networks: tuple[Network, ...] = ()
    listeners: Patterns = ()
    own: int | None = None

    def matches(self, caller: Caller) -> bool | None:
        """Return whether ``caller`` is meant, None when that cannot be known."""
        answers = [ask(self, caller) for part, ask in _PARTS.items() if getattr(self, part)]
        if False in answers:
            return False
        return None if None in answers else True

    def lacks(self, caller: Caller) -> frozenset[Fact]:
        """Return the facts that would tell whether ``caller`` is meant, where that is not known."""
        unknown = [part for part in self.asked() if _PARTS[part](self, caller) is None]
        of_user = Fact.NAMES if caller.uid is not None else Fact.OWNER
        if caller.place is Place.ELSEWHERE:
            of_user = Fact.PROCESS
        wanted = {of_user for part in unknown if part in ("users", "groups")}
        return frozenset(wanted | {Fact.PROCESS for part in unknown if part in _OF_PROCESS})

    def asked(self) -> frozenset[str]:
        """Return the names of the parts that are there."""
        return frozenset(part for part in _PARTS if getattr(self, part))

    def covers(self, other: Match) -> bool:
        """Return whether whoever ``other`` means is surely meant here too."""
        for part in self.asked():
            theirs = _values(getattr(other, part))
            if not theirs or not all(_covered(value, _values(getattr(self, part))) for value in theirs):
                return False
        return True


def _users(match: Match, caller: Caller) -> bool | None:
    if caller.place is Place.ELSEWHERE:
        return _container_users(match, caller)
    uid = caller.uid
    if uid is None:
        return None
    return some(_is_user(user, uid, caller.user) for user in match.users)


def _container_users(match: Match, caller: Caller) -> bool | None:
    """Return whether a caller with a network of its own is meant: it is no user of this host, whatever its number.

    Where the rule says which container it speaks of, numbers are those of the processes in there, as this host counts
    them; names it has none that this host knows.
    """
    if match.container is None:
        return False
    if match.users == (ANYBODY,):
        return True
    numbers = [user for user in match.users if isinstance(user, int)]
    if caller.container_uid in numbers:
        return True
    return None if caller.container_uid is None or len(numbers) < len(match.users) else False


def _is_user(user: int | str, uid: int, name: str | None) -> bool | None:
    if isinstance(user, int):
        return user == uid
    if user == ANYBODY:
        return True
    # a uid without a name may be meant by any pattern of names
    return fnmatchcase(name, user) if name is not None else None


def _groups(match: Match, caller: Caller) -> bool | None:
    if caller.place is Place.ELSEWHERE and match.container is None:
        return False
    if caller.groups is None:
        return None
    return any(_any(group, match.groups) for group in caller.groups)


def _exes(match: Match, caller: Caller) -> bool | None:
    return _of_process(match, caller, lambda program: is_exe(program, match.exes), only_itself=True)


def _commands(match: Match, caller: Caller) -> bool | None:
    return _of_process(
        match,
        caller,
        lambda program: (
            any(is_command(program.command, pattern) for pattern in match.commands)
            if program.command is not None
            else None
        ),
        only_itself=True,
    )


def _ancestors(match: Match, caller: Caller) -> bool | None:
    return _of_process(match, caller, lambda program: is_named(program, match.ancestors), only_itself=False)


def _of_process(
    match: Match, caller: Caller, ask: Callable[[Program], bool | None], *, only_itself: bool
) -> bool | None:
    if caller.place is Place.ELSEWHERE and match.container is None:
        return False  # a rule without a container speaks of this host's own programs
    if caller.process is None:
        return None
    programs = caller.process.lineage[:1] if only_itself else caller.process.lineage
    answer = some(ask(program) for program in programs)
    # paths and names in a container are its own; such as this host has them, they say nothing
    return None if answer and match.container is None and _is_of_an_engine(caller.cgroup) else answer


def _is_of_an_engine(cgroup: str | None) -> bool:
    """Return whether a control group is one that the system's container engine made, on the host's network too."""
    given = _DELEGATED.match(f"{cgroup}/") if cgroup is not None else None
    return given is not None and given["uid"] is None


def _cgroups(match: Match, caller: Caller) -> bool | None:
    def ask(path: str, given: str) -> bool | None:
        meant = [pattern for pattern in match.cgroups if fnmatchcase(path, pattern)]
        if not meant:
            return False
        # a pattern that spells out whose group it is cannot be met by anybody else's
        spelled = any(pattern.startswith(given) or fnmatchcase(given, pattern) for pattern in meant)
        return True if spelled else None

    return _of_cgroup(match, caller, ask)


def _units(match: Match, caller: Caller) -> bool | None:
    def ask(path: str, given: str) -> bool | None:
        if any(_any(unit, match.units) for unit in units_of(given)):
            return True
        return None if any(_any(unit, match.units) for unit in units_of(path)) else False

    return _of_cgroup(match, caller, ask)


def _of_cgroup(match: Match, caller: Caller, ask: Callable[[str, str], bool | None]) -> bool | None:
    """Ask of a control group's path, and of that part of it that the system gave: the rest anybody chooses."""
    if caller.place is Place.ELSEWHERE and match.container is None:
        return False
    path = caller.cgroup
    if path is None:
        return None
    delegated = _DELEGATED.match(path)
    if delegated is None or match.users or match.container is not None:
        return ask(path, path)
    if delegated["uid"] is not None and int(delegated["uid"]) == match.own:
        return ask(path, path)
    return ask(path, delegated[0])


def units_of(cgroup: str) -> list[str]:
    """Return the systemd units in a control group's path, the innermost last."""
    suffixes = (".service", ".scope", ".slice")
    return [part for part in cgroup.split("/") if part.endswith(suffixes)]


def _containers(match: Match, caller: Caller) -> bool | None:
    if caller.container is not None and match.container is not None:
        return match.container.fits(caller.container)
    return None if caller.in_container is None or caller.in_container else False


def _leases(match: Match, caller: Caller) -> bool | None:
    """Return whether it runs in the scope of a lease; where that has ended, what it was for is not known any more."""
    if caller.place is Place.ELSEWHERE:
        return False
    if caller.cgroup is None:
        return None
    if scope_of(caller) is None:
        return False
    return _any(caller.lease_role, match.leases) if caller.lease_role is not None else None


def _networks(match: Match, caller: Caller) -> bool | None:
    try:
        address = ip_address(caller.address)
    except ValueError:
        return None
    return any(address in network for network in match.networks)


def _listeners(match: Match, caller: Caller) -> bool | None:
    if not caller.listener:
        return None
    port = caller.listener.rpartition(":")[2]
    return caller.listener in match.listeners or f":{port}" in match.listeners


_PARTS: dict[str, Callable[[Match, Caller], bool | None]] = {
    "users": _users,
    "groups": _groups,
    "exes": _exes,
    "commands": _commands,
    "ancestors": _ancestors,
    "cgroups": _cgroups,
    "units": _units,
    "container": _containers,
    "leases": _leases,
    "networks": _networks,
    "listeners": _listeners,
}


_OF_PROCESS = frozenset({"exes", "commands", "ancestors", "cgroups", "units", "container", "leases"})


@lru_cache(maxsize=4096)
def _any(text: str, patterns: Patterns) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def _values(part: object) -> tuple[object, ...]:
    if part is None:
        return ()
    return part if isinstance(part, tuple) else (part,)


def _covered(value: object, alternatives: tuple[object, ...]) -> bool:
    """Return whether one of ``alternatives`` means whatever ``value`` means."""
    return any(other in (value, ANYBODY) or _is_wider(other, value) for other in alternatives)


def _is_wider(other: object, value: object) -> bool:
    if isinstance(value, str) and isinstance(other, str):
        return not set("*?[") & set(value) and fnmatchcase(value, other)
    if isinstance(value, IPv4Network) and isinstance(other, IPv4Network):
        return value.subnet_of(other)
    if isinstance(value, IPv6Network) and isinstance(other, IPv6Network):
        return value.subnet_of(other)
    return False
