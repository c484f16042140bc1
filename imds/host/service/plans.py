"""What is to be done to the units, step by step, before any of it is done."""

from __future__ import annotations

import errno
import re
import shlex
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from imds.core.errors import AddressTakenError
from imds.host import listeners
from imds.host.service import files
from imds.host.service.files import Condition
from imds.host.service.units import ADDRESS, GUARD, SERVICE, SOCKET, TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from imds.host.service.files import OurFile
    from imds.host.service.systemctl import Systemctl, UnitState
    from imds.host.service.units import Owner, Scope

LISTEN = re.compile(r"^ListenStream=(\S+)$", flags=re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do.

    Attributes:
        text: what, for people: a verb and its object.
        details: more lines.
        do: does it; None where it is only told.
    """

    text: str
    details: tuple[str, ...] = ()
    do: Callable[[], object] | None = None


@dataclass(slots=True)
class Plan:
    """Steps in order, and what remains to be done by a person."""

    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        """Whether nothing is to be done."""
        return all(step.do is None for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """How things are before an installation.

    Attributes:
        socket: the socket's unit.
        services: those that run or have failed, of this scope.
        version: of the daemon that runs; None where none does, or it does not say.
    """

    socket: UnitState
    services: tuple[UnitState, ...]
    version: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What an installation is to come to.

    Attributes:
        owner: whose service has the sockets; None for the machine's, or the user's own.
        version: of this program.
        restart: whether what runs is to be restarted although it could go on.
        not_yet: why nothing is to be started, for people; None where it can be.
    """

    program: tuple[str, ...]
    owner: Owner | None
    version: str
    restart: bool
    not_yet: str | None


class Installing:
    """Works out the steps of an installation."""

    def __init__(self, scope: Scope, systemctl: Systemctl, found: Found, wish: Wish) -> None:
        self._scope = scope
        self._systemctl = systemctl
        self._found = found
        self._wish = wish
        self._wanted = scope.files(wish.program, wish.owner)
        self._changed = [file for file in self._wanted if file.condition() is not Condition.CURRENT]
        self._superfluous = scope.superfluous(self._wanted)
        self._service = wish.owner.unit if wish.owner else SERVICE
        self._plan = Plan()

    def not_ours(self) -> list[OurFile]:
        """Return files in our place that others wrote, or changed."""
        return [file for file in self._changed if file.condition() in (Condition.FOREIGN, Condition.CHANGED)]

    def plan(self) -> Plan:
        """Return what to do."""
        for file in self._changed:
            new = file.condition() is Condition.MISSING
            details = () if new else tuple(file.difference())
            self._add(f"{'write' if new else 'update'} {file.path}", file.write, details)
        for path in self._superfluous:
            self._add(f"remove {path}", _removal(path))
        self._plan.steps += [Step(text=f"keep {path}, which is yours") for path in self._scope.drop_ins()]
        if self._changed or self._superfluous:
            self._run("daemon-reload")
        if self._found.socket.enabled != "enabled":
            self._run("enable", SOCKET)
        if self._found.socket.active == "active":
            self._go_on()
        else:
            self._start()
        return self._plan

    def _start(self) -> None:
        why = self._wish.not_yet or self._taken()
        failed = [unit.name for unit in (self._found.socket, *self._found.services) if unit.active == "failed"]
        if failed:
            self._run("reset-failed", *failed)
        if why is not None:
            self._note(f"{SOCKET} is not started: {why}", "start", SOCKET)
        else:
            self._run("start", SOCKET)

    def _go_on(self) -> None:
        """Plan for sockets that are open: they stay open wherever that is possible."""
        running = [unit.name for unit in self._found.services if unit.active in ("active", "activating", "reloading")]
        handed_on = self._service not in self._found.socket.triggers and self._owner_changes()
        sockets = self._is_changed(SOCKET, ADDRESS)
        whole = handed_on or (sockets and self._wish.restart)
        gone = any(not Path(program).exists() for program in self._old_programs())
        old = bool(running) and (
            self._is_changed(SERVICE, TEMPLATE) or self._wish.version != (self._found.version or self._wish.version)
        )
        if self._wish.not_yet is not None and (whole or old or self._wish.restart):
            self._note(f"what runs goes on as it is: {self._wish.not_yet}", "restart", *running)
            return
        if whole:
            self._run("stop", SOCKET, *running, *([] if self._scope.user else [ADDRESS]))
            self._run("start", SOCKET)
            return
        if self._is_changed(GUARD):
            self._run("reload-or-restart", ADDRESS)
        if running and (self._wish.restart or (old and gone)):
            self._run("restart", *running)
        elif old:
            self._note(
                f"{', '.join(running)} goes on as it was until it is restarted, which fails no request:",
                "restart",
                *running,
            )
        if sockets and not whole:
            self._plan.notes.append("the sockets stay as they were until you run this again with --restart")

    def _owner_changes(self) -> bool:
        return bool(self._superfluous) or any(file.path.parent.name == f"{SOCKET}.d" for file in self._changed)

    def _is_changed(self, *names: str) -> bool:
        return any(file.path.name in names and file.path.exists() for file in self._changed)

    def _old_programs(self) -> Iterable[str]:
        """Return the programs that the units on the disk start."""
        for name in self._scope.names:
            for line in (files.read(self._scope.folder / name) or "").splitlines():
                if line.startswith("ExecStart=/"):
                    with suppress(ValueError, IndexError):
                        yield shlex.split(line.partition("=")[2])[0].replace("%%", "%")

    def _taken(self) -> str | None:
        """Return which of the sockets' addresses another program has."""
        if any(path.parent.name == f"{SOCKET}.d" for path in self._scope.drop_ins()):
            return None  # others than ours, perhaps
        text = next(file.text for file in self._wanted if file.path.name == SOCKET)
        for listen in LISTEN.findall(text):
            host, _, port = listen.rpartition(":")
            try:
                listeners.listen(listeners.Address(host.strip("[]"), int(port))).close()
            except AddressTakenError as error:
                if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE:
                    return str(error).partition(": stop it")[0]
        return None

    def _add(self, text: str, do: Callable[[], object], details: tuple[str, ...] = ()) -> None:
        self._plan.steps.append(Step(text=text, do=do, details=details))

    def _run(self, *arguments: str) -> None:
        self._plan.steps.append(running(self._systemctl, *arguments))

    def _note(self, text: str, *arguments: str) -> None:
        sudo = [] if self._scope.user else ["sudo"]
        self._plan.notes.append(f"{text}\n  {shlex.join([*sudo, *self._systemctl.command(*arguments)])}")


def removing(scope: Scope, systemctl: Systemctl, units: Iterable[UnitState], *, keep_state: bool) -> Plan:
    """Return how to take everything away that ``imds service install`` and the services have left.

    Args:
        scope: whose units.
        systemctl: their manager.
        units: ours that systemd knows, instances too.
        keep_state: whether keys and the audit log in /var/lib stay.
    """
    plan = Plan()
    ours = scope.ours()
    known = {unit.name: unit for unit in units if unit.loaded}
    if SOCKET in known and scope.folder / SOCKET in ours:
        if known[SOCKET].enabled == "enabled":
            plan.steps.append(running(systemctl, "disable", SOCKET))
        live = [unit.name for unit in known.values() if unit.active not in ("inactive", "failed")]
        services = [name for name in live if name.endswith(".service") and name != ADDRESS]
        if live:
            plan.steps.append(running(systemctl, "stop", *[SOCKET for _ in range(SOCKET in live)], *services))
        if ADDRESS in live:
            plan.steps.append(running(systemctl, "stop", ADDRESS))
        failed = [unit.name for unit in known.values() if unit.active == "failed"]
        if failed:
            plan.steps.append(running(systemctl, "reset-failed", *failed))
        if not scope.user and not keep_state:
            stateful = [name for name in known if name.startswith("imds") and name.endswith(".service")]
            plan.steps += [
                Step(
                    text=f"{shlex.join(systemctl.command('clean', '--what=state', name))}, the audit log with it",
                    do=_quietly(systemctl, "clean", "--what=state", name),
                )
                for name in stateful
                if name not in (ADDRESS, TEMPLATE)
            ]
    plan.steps += [Step(text=f"remove {path}", do=_removal(path)) for path in ours]
    if ours:
        plan.steps.append(running(systemctl, "daemon-reload"))
    plan.steps += [Step(text=f"keep {path}, which is yours") for path in _not_ours(scope, ours)]
    return plan


def remove_empty_folders(scope: Scope) -> None:
    """Remove folders that have become empty: our drop-ins', /etc/imds, a user's for units."""
    folders = [path for unit in (*scope.names, "imds@*.service") for path in scope.folder.glob(f"{unit}.d")]
    if scope.settings is not None:
        folders.append(scope.settings)
    if scope.user:
        folders += [scope.folder, scope.folder.parent, scope.folder.parent.parent]
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def running(systemctl: Systemctl, *arguments: str) -> Step:
    """Return the step of a ``systemctl`` command."""
    return Step(text=shlex.join(systemctl.command(*arguments)), do=lambda: systemctl.run(*arguments))


def _quietly(systemctl: Systemctl, *arguments: str) -> Callable[[], None]:
    from imds.host.service.systemctl import ServiceManagerError  # noqa: PLC0415 - where it is wanted

    def do() -> None:
        with suppress(ServiceManagerError):  # there may be nothing to clean
            systemctl.run(*arguments)

    return do


def _not_ours(scope: Scope, ours: list[Path]) -> list[Path]:
    """Return what stays in the folders where ours are."""
    there = [scope.folder / name for name in scope.names if (scope.folder / name).exists()]
    if scope.settings is not None and scope.settings.is_dir():
        there += sorted(scope.settings.iterdir())
    return [path for path in [*there, *scope.drop_ins()] if path not in ours]


def _removal(path: Path) -> Callable[[], None]:
    return lambda: path.unlink(missing_ok=True)
