"""What the checks look at: this user's variables and files, where their clients look, and the daemon."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from imds.cli.announcing import client_line
from imds.cli.checks.aws_files import Section, read_sections
from imds.cli.checks.contact import Answer, Contact, ask_for_token
from imds.cli.client_environment import FULL_URI, RELATIVE_URI
from imds.core.callers import printable
from imds.host import places
from imds.host.interfaces import has_address, is_behind
from imds.host.occupants import Occupant, occupants

if TYPE_CHECKING:
    from collections.abc import Mapping

ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
MODE = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"
DEFAULTS = {"ipv4": "http://169.254.169.254", "ipv6": "http://[fd00:ec2::254]"}
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - what a daemon may have been told
ECS = "http://169.254.170.2"
"""What a relative address of container credentials follows."""

OWN_LINK = "imds0"
"""Into the namespace that has EC2's addresses where they shall be a hop away, as on EC2."""

TRUE = "true"
LONGEST_SHOWN = 120
_USER_INFO = re.compile(r"//[^/]*@")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting of this user's clients, and where it is made.

    Attributes:
        value: as it is written.
        where: a variable, or ``FILE:LINE``.
        path: the file; None for a variable.
        line: the line in it.
    """

    value: str
    where: str
    path: Path | None = None
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where clients look for the metadata service.

    Attributes:
        setting: that says so; None where they look at EC2's own address.
        url: as it is written.
        host: an IP address, or a name; empty where it is no URL.
        port: likewise 0.
    """

    setting: Setting | None
    url: str
    host: str
    port: int

    @property
    def shown(self) -> str:
        """The URL for people, without what may be a password in it, and in one line."""
        return printable(_USER_INFO.sub("//…@", self.url.partition("?")[0])[:LONGEST_SHOWN])

    @property
    def where(self) -> str:
        """The setting's place, or the address."""
        return self.setting.where if self.setting is not None else f"{self.host}:{self.port}"

    @property
    def is_here(self) -> bool:
        """Whether this host itself has the address, or a namespace of its own: no other may ever be asked."""
        try:
            return has_address(self.host) or is_behind(self.host, OWN_LINK)
        except ValueError:
            return False


class Situation:
    """All of it, looked up once.

    Args:
        environment: of this process.
        uid: of its user.
        contact: the daemon.
        roles: how roles fared that were tried without a daemon, as its status has them.
        skew: what AWS's clock is ahead of ours, as that showed; seconds.
    """

    def __init__(
        self,
        *,
        environment: Mapping[str, str],
        uid: int,
        contact: Contact,
        roles: list[dict[str, Any]] | None = None,
        skew: float | None = None,
    ) -> None:
        self.environment = environment
        self.uid = uid
        self.contact = contact
        self.roles: list[dict[str, Any]] = contact.says("roles") or roles or []
        self.skew: float = contact.says("clock_skew_seconds") or skew or 0

    def set(self, *names: str) -> tuple[str, ...]:
        """Return those variables that are set and not empty."""
        return tuple(name for name in names if self.environment.get(name))

    @property
    def profile(self) -> str:
        """The profile that clients use."""
        return self.environment.get("AWS_PROFILE") or self.environment.get("AWS_DEFAULT_PROFILE") or "default"

    @cached_property
    def sections(self) -> list[Section]:
        """Every profile's sections, of the configuration and of the credentials."""
        found: list[Section] = []
        for variable, name, config in (
            ("AWS_CONFIG_FILE", "config", True),
            ("AWS_SHARED_CREDENTIALS_FILE", "credentials", False),
        ):
            path = self.path(self.environment.get(variable) or f"~/.aws/{name}")
            found += read_sections(path, file=self.shown(path), config=config)
        return found

    def sections_of(self, profile: str) -> list[Section]:
        """Return a profile's sections."""
        return [section for section in self.sections if section.profile == profile]

    def path(self, text: str) -> Path:
        """Return a path that may begin with ``~``, which is ``$HOME``."""
        home = self.environment.get("HOME")
        return Path(home) / text[2:] if text.startswith("~/") and home else Path(text).expanduser()

    def shown(self, path: Path) -> str:
        """Return a path for people."""
        return places.tilde(path, self.environment)

    def setting(self, variable: str, *keys: str) -> Setting | None:
        """Return a setting of clients: a variable, else a key of their profile."""
        if self.environment.get(variable):
            return Setting(value=self.environment[variable], where=variable)
        for section in self.sections_of(self.profile):
            for key in keys:
                if section.value(key):
                    line = section.keys[key][0]
                    return Setting(value=section.value(key), where=section.where(key), path=section.path, line=line)
        return None

    @cached_property
    def mode(self) -> Setting | None:
        """IPv4 or IPv6, as it is written."""
        return self.setting(MODE, "ec2_metadata_service_endpoint_mode")

    @cached_property
    def target(self) -> Target:
        """Where clients look."""
        setting = self.setting(ENDPOINT, "ec2_metadata_service_endpoint")
        if setting is None:
            six = self.mode is not None and self.mode.value.lower() == "ipv6"
            legacy = self.setting("AWS_IMDS_USE_IPV6", "imds_use_ipv6") if self.mode is None else None
            if legacy is not None and legacy.value.lower() == TRUE:
                six = True
            return _target(None, DEFAULTS["ipv6" if six else "ipv4"])
        return _target(setting, setting.value)

    @cached_property
    def answer(self) -> Answer | None:
        """What answers clients there; None where nobody may be asked."""
        return ask_for_token(self.target.host, self.target.port, self.contact) if self.target.is_here else None

    @cached_property
    def listens(self) -> list[tuple[str, int]]:
        """Where the daemon listens."""
        urls = [urlsplit(url) for url in self.contact.says("listen") or []]
        return [(url.hostname or "", url.port or 80) for url in urls]

    def listens_at(self, host: str, port: int) -> bool:
        """Whether the daemon says that it listens there."""
        return any(theirs == port and ours in (host, *EVERYWHERE) for ours, theirs in self.listens)

    @property
    def client_line(self) -> str | None:
        """The line that points clients to the daemon; None where there is none, or it needs none."""
        return client_line(self.contact.says("listen") or [])

    @property
    def loopback_line(self) -> str | None:
        """The line that points clients to the daemon's own loopback address."""
        return client_line([url for url in self.contact.says("listen") or [] if "//127." in url or "//[::1]" in url])

    def listeners(self, host: str, port: int) -> list[Occupant]:
        """Return who listens there, but the daemon and the service manager that listens for it."""
        ours = self.contact.says("pid")
        return [one for one in occupants(host, port) if one.pid is None or one.pid not in (ours, 1)]

    @property
    def container_url(self) -> str:
        """Where clients ask for container credentials, empty where they do not."""
        relative = self.environment.get(RELATIVE_URI)
        return f"{ECS}{relative}" if relative else self.environment.get(FULL_URI, "")

    @cached_property
    def by_container(self) -> bool:
        """Whether clients are led to an imds by variables, as those of ``imds exec`` and ``imds env``."""
        target = _target(None, self.container_url)
        if not target.host or not target.is_here or "/credentials" not in target.url:
            return False
        known = self.listens_at(target.host, target.port)
        return known or any(one.is_imds for one in occupants(target.host, target.port))


def _target(setting: Setting | None, url: str) -> Target:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return Target(setting=setting, url=url, host="", port=0)
    if host == "localhost":
        host = "127.0.0.1"
    with suppress(ValueError):  # a name, or nothing
        host = str(ip_address(host))
    return Target(setting=setting, url=url, host=host, port=port if parts.scheme in ("http", "https") else 0)
