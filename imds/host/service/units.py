"""The units of systemd: which there are, where they go, and what an owner of the system's sockets adds to them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imds.host.service import files
from imds.host.service.files import OurFile
from imds.host.service.installation import systemd_command

if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET: Final = "imds.socket"
SERVICE: Final = "imds.service"
TEMPLATE: Final = "imds@.service"
ADDRESS: Final = "imds-address.service"
SYSTEM_UNITS: Final = (SOCKET, SERVICE, TEMPLATE, ADDRESS)
USER_UNITS: Final = (SOCKET, SERVICE)
GUARD: Final = "guard.nft"

OWNER: Final = f"{SOCKET}.d/10-imds-owner.conf"
HOME: Final = "10-imds-home.conf"
USER_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""What may stand in a unit's name as it is; others would have to be escaped, and ``User=%i`` would not fit."""

_OWNER_TEXT = """\
[Socket]
Service=imds@{name}.service
"""
_HOME_TEXT = """\
[Service]
Environment=HOME={home}
BindReadOnlyPaths=-{home}/.aws -{home}/.config/imds
BindPaths=-{home}/.aws/sso/cache -{home}/.aws/login/cache -{home}/.aws/cli/cache
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose service has the system's sockets."""

    name: str
    home: Path

    @property
    def unit(self) -> str:
        """The service's name."""
        return f"imds@{self.name}.service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose manager runs the units, and where they go.

    Attributes:
        user: the user's own manager; else the system's.
        folder: for units.
        settings: for what is no unit; None where there is nothing such.
    """

    user: bool
    folder: Path
    settings: Path | None

    @property
    def names(self) -> tuple[str, ...]:
        """The units."""
        return USER_UNITS if self.user else SYSTEM_UNITS

    def files(self, program: tuple[str, ...], owner: Owner | None = None) -> list[OurFile]:
        """Return what is to be there, the guard first: without it the addresses' unit does not start."""
        shipped = resources.files("imds.host.service") / ("user" if self.user else "system")
        command = systemd_command(program)
        texts = {self.folder / name: (shipped / name).read_text(encoding="utf-8") for name in self.names}
        found = [OurFile(path=path, text=text.replace("@program@", command)) for path, text in texts.items()]
        if self.settings is not None:
            guard = (shipped / GUARD).read_text(encoding="utf-8")
            found.insert(0, OurFile(path=self.settings / GUARD, text=guard))
        if owner is not None:
            found.append(OurFile(path=self.folder / OWNER, text=_OWNER_TEXT.format(name=owner.name)))
            if owner.home != Path("/home", owner.name):
                path = self.folder / f"{owner.unit}.d" / HOME
                home = str(owner.home).replace("%", "%%")
                found.append(OurFile(path=path, text=_HOME_TEXT.format(home=home)))
        return found

    def superfluous(self, wanted: list[OurFile]) -> list[Path]:
        """Return drop-ins that this command wrote for an owner who is none any more."""
        there = [*self.folder.glob(OWNER), *self.folder.glob(f"imds@*.service.d/{HOME}")]
        return [path for path in there if path not in {file.path for file in wanted} and files.is_ours(path)]

    def ours(self) -> list[Path]:
        """Return all files there are that this command wrote."""
        candidates = [self.folder / name for name in self.names]
        candidates += [self.folder / OWNER, *sorted(self.folder.glob(f"imds@*.service.d/{HOME}"))]
        if self.settings is not None:
            candidates.append(self.settings / GUARD)
        return [path for path in candidates if files.is_ours(path)]

    def drop_ins(self) -> list[Path]:
        """Return what others have added to our units."""
        found = [path for unit in (*self.names, "imds@*.service") for path in self.folder.glob(f"{unit}.d/*")]
        return sorted({path for path in found if not files.is_ours(path)})

    def owner_name(self) -> str | None:
        """Return whose service has the sockets, as this command wrote it; None for the machine's own."""
        path = self.folder / OWNER
        text = (files.read(path) or "") if files.is_ours(path) else ""
        found = re.search(r"^Service=imds@(.+)\.service$", text, flags=re.MULTILINE)
        return found[1] if found else None


def system_scope(root: Path = Path("/")) -> Scope:
    """Return where the system's units go."""
    return Scope(user=False, folder=root / "etc/systemd/system", settings=root / "etc/imds")


def user_scope(environment: Mapping[str, str]) -> Scope:
    """Return where a user's units go."""
    home = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "/")) / ".config"
    return Scope(user=True, folder=Path(home) / "systemd" / "user", settings=None)
