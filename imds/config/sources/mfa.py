"""``mfa_serial`` and what stands beside it: of which device codes are asked for, how, and when."""

from __future__ import annotations

import re
from datetime import time, timedelta
from typing import TYPE_CHECKING

from imds.config.sources.reading import read_command
from imds.core.asking import DEFAULT_LEAD, Asking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.config.document import Node

SERIAL = "mfa_serial"
ASKING = ("mfa_command", "mfa_prompt", "mfa_totp", "mfa_lead", "mfa_at", "mfa_remind")
KEYS = (SERIAL, *ASKING)
PROMPTS = ("pinentry", "desktop")

MFA_SERIAL = re.compile(r"[\w+=/:,.@-]{9,256}", re.ASCII)
HOUR = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
LEADS = (timedelta(minutes=1), timedelta(hours=18))
REMINDERS = (timedelta(minutes=1), timedelta(hours=24))


def read_serial(node: Node) -> str | None:
    """Return the device."""
    return node.matching(MFA_SERIAL, "an MFA device's ARN (arn:aws:iam::123456789012:mfa/NAME) or serial number")


def read_asking(entries: Mapping[str, Node]) -> Asking:
    """Return how its codes come to us; mistakes are noted, and means without a device are one."""
    if SERIAL not in entries:
        for key in ASKING:
            if key in entries:
                entries[key].wrong(f"needs {SERIAL} beside it: the device that the code is of")
    prompt, totp = entries.get("mfa_prompt"), entries.get("mfa_totp")
    lead, remind = entries.get("mfa_lead"), entries.get("mfa_remind")
    return Asking(
        command=read_command(entries["mfa_command"]) if "mfa_command" in entries else None,
        prompts=_read_prompts(prompt) if prompt is not None else (),
        seed_in_keyring=totp is not None and totp.one_of("keyring") is not None,
        lead=(lead.duration(*LEADS) if lead is not None else None) or DEFAULT_LEAD,
        at=_read_hour(entries["mfa_at"]) if "mfa_at" in entries else None,
        remind=_read_reminder(remind) if remind is not None else None,
    )


def _read_prompts(node: Node) -> tuple[str, ...]:
    named = [item.one_of(*PROMPTS) for item in ([node] if node.is_scalar else node.items())]
    return tuple(dict.fromkeys(name for name in named if name is not None))


def _read_hour(node: Node) -> time | None:
    text = node.matching(HOUR, 'an hour of the day in quotes, such as "08:30"')
    return time.fromisoformat(text) if text is not None else None


def _read_reminder(node: Node) -> timedelta | None:
    if node.is_scalar and not node.is_null and node.text() == "none":
        return None
    return node.duration(*REMINDERS)
