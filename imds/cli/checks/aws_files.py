"""``~/.aws`` and its like, line by line: which sections have which keys. Secrets are not kept, not even in memory."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imds.cli.checks.finding import last_four

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MOST_BYTES = 1024 * 1024
SHOWN = frozenset(
    {
        *("region", "output", "role_arn", "credential_source", "source_profile"),
        *("ec2_metadata_service_endpoint", "ec2_metadata_service_endpoint_mode", "ec2_metadata_v1_disabled"),
        *("disable_ec2_metadata", "imds_use_ipv6"),
    }
)
"""Keys whose values are looked at; none of them is secret."""

ACCESS_KEY = "aws_access_key_id"
METADATA_SOURCE = "Ec2InstanceMetadata"
CREDENTIALS = (
    *(ACCESS_KEY, "role_arn", "sso_session", "sso_start_url", "credential_process", "web_identity_token_file"),
    "login_session",
)
"""Keys that make a profile win over a metadata service."""

_SECTION = re.compile(r"\[\s*(?:profile\s+)?[\"']?(.*?)[\"']?\s*\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section of a file.

    Attributes:
        file: the path, as people write it.
        path: the path.
        line: of its head, from 1.
        profile: the profile's name.
        config: whether profiles are ``[profile NAME]`` in this file.
        keys: each key's line and, where it is one of ``SHOWN``, its value; of an access key's id the end.
    """

    file: str
    path: Path
    line: int
    profile: str
    config: bool
    keys: Mapping[str, tuple[int, str]]

    def value(self, key: str) -> str:
        """Return a key's value, empty where it is not there."""
        return self.keys.get(key, (0, ""))[1]

    def where(self, key: str) -> str:
        """Return ``FILE:LINE`` of a key."""
        return f"{self.file}:{self.keys[key][0]}"

    @property
    def wins_by(self) -> str | None:
        """The key by which clients get credentials of this section; None where they ask the metadata service."""
        if self.keys.keys() & {"role_arn"} and self.value("credential_source") == METADATA_SOURCE:
            return None  # of which it then assumes a role
        return next((key for key in CREDENTIALS if key in self.keys), None)

    @property
    def shown(self) -> str:
        """What makes it win, for people."""
        by = self.wins_by or ""
        return f"access key ({self.value(ACCESS_KEY)})" if by == ACCESS_KEY else by


def read_sections(path: Path, *, file: str, config: bool) -> list[Section]:
    """Return the sections of a file; none where it cannot be read.

    Args:
        path: the file.
        file: the same for people.
        config: whether profiles are ``[profile NAME]`` there, but for ``[default]``.
    """
    found: list[Section] = []
    keys: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(_lines(path), start=1):
        if line.startswith("["):
            keys = {}
            head = _SECTION.match(line)
            name = head.group(1) if head is not None else ""
            if head is not None and (not config or name == "default" or re.match(r"\[\s*profile\s", line)):
                found.append(Section(file=file, path=path, line=number, profile=name, config=config, keys=keys))
        elif line[:1] not in ("", " ", "\t", "#", ";"):
            key, _, value = line.partition("=")
            key, value = key.strip().lower(), value.strip()
            shown = value if key in SHOWN else last_four(value) if key == ACCESS_KEY else ""
            keys.setdefault(key, (number, shown))
    return found


def _lines(path: Path) -> list[str]:
    with suppress(OSError):
        # without O_NONBLOCK a FIFO in its place would hold us up for ever
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as opened:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return opened.read(MOST_BYTES).decode(errors="replace").splitlines()
    return []
