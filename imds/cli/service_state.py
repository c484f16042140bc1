"""How the service is: its units, their files, the configuration, and what to do next."""

from __future__ import annotations

import os
import pwd
import shlex
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imds
from imds.cli.control_client import ControlClient
from imds.core.errors import ConfigError, ImdsError
from imds.host import places
from imds.host.service import units
from imds.host.service.files import Condition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imds.host.service.installation import Installation
    from imds.host.service.systemctl import Systemctl, UnitState
    from imds.host.service.units import Owner, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What ``imds service status`` says.

    Attributes:
        files: what is on the disk in the place of each file.
        drop_ins: what others have added.
        version: of the daemon that runs; None where none does, or it does not say.
        next_step: what a person is to do, None where all is well.
    """

    user: bool
    units: tuple[UnitState, ...]
    files: tuple[tuple[Path, Condition], ...]
    drop_ins: tuple[Path, ...]
    version: str | None
    next_step: str | None

    @property
    def stale(self) -> bool:
        """Whether the files are not what this version would write."""
        return any(condition is not Condition.CURRENT for _, condition in self.files)

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "scope": "user" if self.user else "system",
            "version": imds.__version__,
            "running_version": self.version,
            "stale": self.stale,
            "units": [
                {
                    "name": unit.name,
                    "active": unit.active,
                    "enabled": unit.enabled or None,
                    "status": unit.status or None,
                    "result": unit.result or None,
                    "pid": unit.main_pid or None,
                }
                for unit in self.units
            ],
            "files": [{"path": str(path), "condition": condition.value} for path, condition in self.files],
            "drop_ins": [str(path) for path in self.drop_ins],
            "next": self.next_step,
        }


def look(scope: Scope, systemctl: Systemctl, program: Installation) -> Report:
    """Return how the service is.

    Raises:
        ServiceManagerError: its manager does not say.
    """
    owner = _owner(scope)
    socket = systemctl.state(units.SOCKET)
    service = next(iter(socket.triggers), owner.unit if owner else units.SERVICE)
    names = [units.SOCKET, service, *([] if scope.user else [units.ADDRESS])]
    states = tuple(systemctl.state(name) for name in names)
    conditions = tuple((file.path, file.condition()) for file in scope.files(program.program, owner))
    version = running_version(user=scope.user, services=[service]) if states[1].active == "active" else None
    report = Report(
        user=scope.user,
        units=states,
        files=conditions,
        drop_ins=tuple(scope.drop_ins()),
        version=version,
        next_step=None,
    )
    return replace(report, next_step=next(_to_do(scope, program, report, owner), None))


def running_version(*, user: bool, services: Iterable[str]) -> str | None:
    """Return the version of the daemon that one of ``services`` runs; None where that cannot be known."""
    for service in services:
        name = service.removeprefix("imds@").removesuffix(".service")
        system = Path("/run/imds-" + name if service != units.SERVICE else "/run/imds") / "control.sock"
        with suppress(ImdsError):
            path = places.control_socket(os.environ) if user else system
            return str(ControlClient(path).call("GET", "status")["version"])
    return None


def config_problem(*, user: bool, owner: Owner | None) -> str | None:
    """Return why the daemon would not start with its configuration; None where it would."""
    from imds.cli.options import template_variables  # noqa: PLC0415 - with the loader
    from imds.config import loading  # noqa: PLC0415 - yaml is not wanted by every command

    path, uid = _config(user=user, owner=owner)
    if path is None:
        return None
    try:
        there = path.exists()
    except OSError:  # whoever asks may not look there
        return None
    if not there:
        return f"{path} is missing: write who is to get which role (docs/callers.md)"
    try:
        loading.load(path, variables=template_variables(), uid=uid)
    except ConfigError as error:
        return f"the configuration is wrong:\n{error}"
    return None


def state_files(*, user: bool) -> list[Path]:
    """Return what the daemon has kept that ``uninstall`` leaves alone: a user's own, which ``imds serve`` uses too."""
    if not user:
        return []
    state = places.state_directory(os.environ)
    return [state] if state.exists() else []


def _config(*, user: bool, owner: Owner | None) -> tuple[Path | None, int]:
    """Return the configuration that a service will have, and its user."""
    if user:
        return places.find_config(os.environ), os.getuid()
    if owner is None:
        return places.SYSTEM_CONFIG, os.getuid()
    path = None
    with suppress(PermissionError):  # somebody else's home
        path = places.find_config({"HOME": str(owner.home)})
    return path, pwd.getpwnam(owner.name).pw_uid


def _owner(scope: Scope) -> Owner | None:
    name = None if scope.user else scope.owner_name()
    if name is None:
        return None
    with suppress(KeyError):
        return units.Owner(name=name, home=Path(pwd.getpwnam(name).pw_dir))
    return units.Owner(name=name, home=Path("/home", name))


def _to_do(scope: Scope, program: Installation, report: Report, owner: Owner | None) -> Iterator[str]:
    """Yield what is to be done, the first thing first."""
    socket, service = report.units[:2]
    root = [] if scope.user else ["sudo"]
    conditions = [condition for _, condition in report.files]
    install = shlex.join([*root, *program.program, "service", "install", *(["--user"] if scope.user else [])])
    if set(conditions) == {Condition.MISSING}:
        yield install + ("" if scope.user else "  (with --for USER: that user's ~/.aws)")
    others = [path for path, condition in report.files if condition in (Condition.FOREIGN, Condition.CHANGED)]
    if others:
        yield f"{install} --force  (replaces {', '.join(map(str, others))}, which others have written or changed)"
    if report.stale:
        yield f"{install}  (the units are not this version's)"
    if (problem := _readable_problem(user=scope.user, owner=owner)) is not None:
        yield problem
    if "failed" in (socket.active, service.active):
        journal = ["journalctl", *(["--user"] if scope.user else []), f"--unit={service.name}", "--lines=20"]
        yield f"{shlex.join(journal)}  (it has failed; when that is mended: {install})"
    if socket.active != "active" or socket.enabled != "enabled":
        yield install
    if report.version not in (None, imds.__version__):
        yield f"{install} --restart  (imds {report.version} still runs)"


def _readable_problem(*, user: bool, owner: Owner | None) -> str | None:
    """Return what is wrong with the configuration, as far as this user may read it."""
    path, _ = _config(user=user, owner=owner)
    try:
        readable = path is None or not path.exists() or os.access(path, os.R_OK)
    except OSError:  # its folder may not be searched
        return None
    return config_problem(user=user, owner=owner) if readable else None
