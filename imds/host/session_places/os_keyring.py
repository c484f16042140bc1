"""The keyring of the user's desktop (Secret Service, KWallet, the macOS keychain), which outlives a reboot."""

from __future__ import annotations

import importlib.util
from contextlib import suppress
from typing import TYPE_CHECKING

from imds.core.errors import PlaceError
from imds.core.kept_sessions import bundle, unbundle
from imds.host.session_places.apart import run_apart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.host.session_places import Entry

PROGRAM = "keyring_access"


class OsKeyring:
    """One entry with all sessions, under the service name ``imds``."""

    def __init__(self, scope: str) -> None:
        self._name = scope
        if importlib.util.find_spec("keyring") is None:
            raise PlaceError("the keyring of the desktop needs an extra: pip install 'imds-server[keyring]'")

    def read(self) -> list[bytes]:
        """Return what the entry holds."""
        content = self._ask("get")
        return unbundle(content) if content else []

    def write(self, entries: Mapping[str, Entry]) -> None:
        """Replace the entry."""
        self._ask("set", bundle(entry.text for entry in entries.values()))

    def clear(self) -> None:
        """Remove the entry."""
        with suppress(PlaceError):
            self._ask("delete")

    def _ask(self, what: str, content: bytes = b"") -> bytes:
        return run_apart(PROGRAM, {"do": what, "name": self._name}, content)
