"""What is recorded: one line of JSON for each set of credentials given, for each refusal, for each lease and its end.

Each line holds the digest of the line before it, so that one that was taken out or changed shows.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from imds.core.callers import printable
from imds.core.leases import LONGEST_REASON

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from imds.core.callers import Caller
    from imds.core.credentials import Credentials
    from imds.core.leases import Lease

BEGINNING = "0" * 64
"""In the place of a digest where there is no line before."""

LONGEST_TEXT = 256
"""Characters of anything that a caller chose."""

LONGEST_LINE = 128 * 1024
"""Bytes; more than 64 ancestors of the longest names make."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Credentials that were given.

    Attributes:
        role: whose they are.
        credentials: the session.
        lease: whose session it is, where it is one's own; None for the role's.
    """

    role: str
    credentials: Credentials
    lease: Lease | None = None


class Entry(Protocol):
    """What makes one line."""

    def to_json(self, caller: Caller) -> dict[str, Any]:
        """Return the fields of the line, ``previous`` excepted; no secret is among them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One answer, without what has still to be looked up of its caller.

    Attributes:
        at: when, UTC.
        given: the credentials; None is a refusal.
        because: the rule that decided, or why it was refused.
        instance: that the caller sees, None for none.
        request: method and path.
        repeated: how many refusals of the same kind this stands for.
        fault: what was simulated, on purpose.
    """

    at: datetime
    given: Given | None
    because: str
    instance: str | None
    request: str
    repeated: int = 1
    fault: str = ""

    def to_json(self, caller: Caller) -> dict[str, Any]:
        """Return the fields of the line, ``previous`` excepted; no secret is among them."""
        fields: dict[str, Any] = {
            "time": _time(self.at),
            "decision": "given" if self.given is not None else "refused",
            "because": _text(self.because),
            "instance": self.instance,
        }
        if self.given is not None:
            credentials, lease = self.given.credentials, self.given.lease
            fields |= {
                "role": self.given.role,
                "access_key": credentials.access_key_id[-4:],
                "role_session_name": credentials.role_session_name,
                "account_id": credentials.account_id,
            }
            if lease is not None:
                fields |= {_kind(lease): lease.id, "reason": _text(lease.reason, LONGEST_REASON)}
        fields |= {**_who(caller), "listener": caller.listener, "request": _text(self.request)}
        if self.fault:
            fields["fault"] = self.fault
        if self.repeated > 1:
            fields["repeated"] = self.repeated
        return fields


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """That a lease was asked for and given, was asked for and denied, or has ended; likewise an activation.

    Attributes:
        at: when, UTC.
        decision: ``leased``, ``lease refused`` or ``lease ended``; ``activating``, on the disk before anybody is told
            and AWS is asked, then ``activated`` or ``activation refused``, and ``activation ended``.
        because: why.
        lease: which.
        keys_until: of one that has ended: until when keys work that it was given, UTC.
    """

    at: datetime
    decision: str
    because: str
    lease: Lease
    keys_until: datetime | None = None

    def to_json(self, caller: Caller) -> dict[str, Any]:
        """Return the fields of the line, ``previous`` excepted; no secret is among them."""
        lease = self.lease
        fields: dict[str, Any] = {
            "time": _time(self.at),
            "decision": self.decision,
            "because": _text(self.because, LONGEST_REASON),
            "instance": lease.instance,
            "role": lease.role,
            _kind(lease): lease.id,
            "owner": lease.owner,
            "reason": _text(lease.reason, LONGEST_REASON),
            "narrowed": lease.narrowed,
            "ends": _time(lease.ends),
            "role_session_name": lease.session_name,
        }
        if self.keys_until is not None:
            fields["keys_until"] = _time(self.keys_until)
        return fields | _who(caller)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRefusal:
    """That somebody asked for a lease or an activation that they may not have, or that there cannot be.

    Also that somebody has to approve one, and what they said.

    Attributes:
        at: when, UTC.
        decision: ``lease refused`` or ``activation refused``; ``approval asked``, ``approved`` or ``denied``.
        because: why.
        role: as it was asked for, None for the default one.
        instance: that it was asked for.
        reason: as it was given.
    """

    at: datetime
    because: str
    role: str | None
    instance: str | None
    reason: str
    decision: str = "lease refused"

    def to_json(self, caller: Caller) -> dict[str, Any]:
        """Return the fields of the line, ``previous`` excepted; no secret is among them."""
        return {
            "time": _time(self.at),
            "decision": self.decision,
            "because": _text(self.because, LONGEST_REASON),
            "instance": _text(self.instance) if self.instance is not None else None,
            "role": _text(self.role) if self.role is not None else None,
            **({"lease": None} if self.decision == "lease refused" else {}),
            "reason": _text(self.reason, LONGEST_REASON),
        } | _who(caller)


def _kind(lease: Lease) -> str:
    return "activation" if lease.activation else "lease"


def _who(caller: Caller) -> dict[str, Any]:
    """Return what is known of a caller."""
    process, container = caller.process, caller.container
    return {
        "uid": caller.uid,
        "user": caller.user,
        "pid": process.program.pid if process else None,
        "exe": _text(process.program.exe or process.program.command or "") if process else None,
        "ancestors": [_text(one.exe or one.command or "") for one in process.ancestors] if process else None,
        "cgroup": _text(caller.cgroup) if caller.cgroup else None,
        "container": {"id": container.id, "name": container.name, "image": container.image} if container else None,
        "address": caller.address,
    } | ({"container_uid": caller.container_uid} if caller.container_uid is not None else {})


def _time(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


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


def _text(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return something that a caller chose, in one line and not too long."""
    return printable(text if len(text) <= longest else text[:longest] + "…")
