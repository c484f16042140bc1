"""Asks systemd, and has it do things, through ``systemctl``: the one interface that every version has."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from imds.core.errors import ImdsError

TIMEOUT = 100.0
"""Seconds; a unit's start may take the 90 that systemd gives it."""

RUNNING = Path("/run/systemd/system")
"""Is there where systemd is PID 1 (sd_booted(3))."""

_PROPERTIES = "Id,LoadState,ActiveState,SubState,UnitFileState,StatusText,Result,MainPID,Triggers,NeedDaemonReload"


class ServiceManagerError(ImdsError):
    """systemd is not there, or said no; the text has its words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitState:
    """A unit as its manager sees it.

    Attributes:
        active: ``active``, ``inactive``, ``failed``, ``activating`` …
        enabled: ``enabled``, ``disabled``, ``static`` or empty.
        status: what the service says of itself.
        result: why it failed.
        main_pid: 0 for none.
        triggers: the units that a socket starts.
    """

    name: str
    loaded: bool
    active: str
    enabled: str
    status: str
    result: str
    main_pid: int
    triggers: tuple[str, ...]


class Systemctl:
    """One manager.

    Args:
        user: this user's; else the system's.
    """

    def __init__(self, *, user: bool) -> None:
        self._user = user
        self._environment = dict(os.environ)
        if user:
            # su and sudo leave it out, and without it the manager is not found
            self._environment.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")

    def command(self, *arguments: str) -> list[str]:
        """Return a command line for people and for ``run``."""
        return ["systemctl", *(["--user"] if self._user else []), *arguments]

    def run(self, *arguments: str) -> str:
        """Return what ``systemctl`` prints.

        Raises:
            ServiceManagerError: it said no.
        """
        command = self.command(*arguments)
        try:
            done = subprocess.run(  # noqa: S603 - no shell, and the words are ours
                command, env=self._environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServiceManagerError(f"{' '.join(command)}: {error}") from error
        if done.returncode != 0:
            said = done.stderr.strip() or f"it ended with {done.returncode}"
            raise ServiceManagerError(f"{' '.join(command)}: {said}")
        return done.stdout

    def why_not(self) -> str | None:
        """Return why this manager cannot be asked, for people; None where it can."""
        if shutil.which("systemctl") is None or not RUNNING.is_dir():
            return "systemd does not run this machine: start `imds serve` by what does"
        try:
            self.run("show-environment")
        except ServiceManagerError as error:
            if self._user:
                return (
                    f"your own systemd manager does not answer: log in as this user (not by su or sudo), or let it "
                    f"run without a login: loginctl enable-linger\n({error})"
                )
            return str(error)
        return None

    def state(self, name: str) -> UnitState:
        """Return how a unit is.

        Raises:
            ServiceManagerError: the manager does not say.
        """
        told = self.run("show", f"--property={_PROPERTIES}", "--", name)
        values = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
        state = UnitState(
            name=name,
            loaded=values.get("LoadState") == "loaded",
            active=values.get("ActiveState", ""),
            enabled=values.get("UnitFileState", ""),
            status=values.get("StatusText", ""),
            result=values.get("Result", ""),
            main_pid=int(values.get("MainPID") or 0),
            triggers=tuple(values.get("Triggers", "").split()),
        )
        return state if state.result != "success" else replace(state, result="")

    def instances(self) -> list[str]:
        """Return the services of single users that systemd knows of.

        Raises:
            ServiceManagerError: the manager does not say.
        """
        told = self.run("list-units", "--all", "--plain", "--no-legend", "imds@*.service")
        return [line.split()[0] for line in told.splitlines() if line.strip()]
