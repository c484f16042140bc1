"""Which start of the machine this is."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def boot_id() -> str | None:
    """Return what is different after every boot; None where the system does not say."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip() or None
    return None
