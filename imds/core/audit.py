"""What is recorded of an answer: one line of JSON for each set of credentials given and for each refusal.

Each line holds the digest of the line before it, so that one that was taken out or changed shows.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imds.core.callers import printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from imds.core.callers import Caller
    from imds.core.credentials import Credentials

BEGINNING = "0" * 64
"""In the place of a digest where there is no line before."""

LONGEST_TEXT = 256
"""Characters of anything that a caller chose."""

LONGEST_LINE = 128 * 1024
"""Bytes; more than 64 ancestors of the longest names make."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One answer, without what has still to be looked up of its caller.

    Attributes:
        at: when, UTC.
        given: the role's name and its credentials; None is a refusal.
        because: the rule that decided, or why it was refused.
        instance: that the caller sees, None for none.
        request: method and path.
        repeated: how many refusals of the same kind this stands for.
        fault: what was simulated, on purpose.
    """

    at: datetime
    given: tuple[str, Credentials] | None
    because: str
    instance: str | None
    request: str
    repeated: int = 1
    fault: str = ""

    def to_json(self, caller: Caller) -> dict[str, Any]:
        """Return the fields of the line, ``previous`` excepted; no secret is among them."""
        process, container = caller.process, caller.container
        fields: dict[str, Any] = {
            "time": self.at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z",
            "decision": "given" if self.given is not None else "refused",
            "because": _text(self.because),
            "instance": self.instance,
        }
        if self.given is not None:
            role, credentials = self.given
            fields |= {
                "role": role,
                "access_key": credentials.access_key_id[-4:],
                "role_session_name": credentials.role_session_name,
                "account_id": credentials.account_id,
            }
        fields |= {
            "uid": caller.uid,
            "user": caller.user,
            "pid": process.program.pid if process else None,
            "exe": _text(process.program.exe or process.program.command or "") if process else None,
            "ancestors": [_text(one.exe or one.command or "") for one in process.ancestors] if process else None,
            "cgroup": _text(caller.cgroup) if caller.cgroup else None,
            "container": {"id": container.id, "name": container.name, "image": container.image} if container else None,
            "address": caller.address,
            "listener": caller.listener,
            "request": _text(self.request),
        }
        if self.fault:
            fields["fault"] = self.fault
        if self.repeated > 1:
            fields["repeated"] = self.repeated
        return fields


def line(fields: dict[str, Any], previous: str) -> bytes:
    """Return a line with the digest of the one before it, and its newline."""
    return json.dumps({**fields, "previous": previous}, separators=(",", ":")).encode() + b"\n"


def digest(written: bytes) -> str:
    """Return what the next line holds of ``written``."""
    return hashlib.sha256(written.rstrip(b"\n")).hexdigest()


def verify(lines: Iterable[bytes]) -> tuple[int, list[str], str]:
    """Return how many lines there are, what is wrong with which, and the digest of the last.

    The first line may follow one of an older file.
    """
    count, wrong, expected = 0, list[str](), None
    for count, written in enumerate(lines, start=1):
        try:
            previous = json.loads(written)["previous"]
        except (ValueError, LookupError, TypeError):
            wrong.append(f"line {count} is none of ours")
        else:
            if expected is not None and previous != expected:
                wrong.append(f"line {count} does not follow the line before it: one was removed or changed")
        expected = digest(written)
    return count, wrong, expected or BEGINNING


def _text(text: str) -> str:
    """Return something that a caller chose, in one line and not too long."""
    return printable(text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "…")
