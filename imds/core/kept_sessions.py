"""Sessions that outlive the daemon: what is kept of each, and whether it may still be served by the next one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from imds.core.credentials import Credentials
from imds.core.skew import Observation

if TYPE_CHECKING:
    from collections.abc import Iterable

PLACES = ("fd_store", "kernel_keyring", "os_keyring", "file", "none")
"""Where sessions can be kept, as ``persist_sessions`` names it."""

STEPPED = timedelta(seconds=60)
"""Where the two clocks have drifted apart by more since a session was kept, the wall clock was set: NTP slews at most
43 seconds a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A moment by every clock there is.

    Attributes:
        now: the wall clock's, UTC.
        elapsed: ``Clock.elapsed()``.
        boot: which start of the machine ``elapsed`` counts from; None where that is not known.
    """

    now: datetime
    elapsed: timedelta
    boot: str | None

    def same_boot(self, other: Moment) -> bool:
        """Whether the time elapsed between the two is known."""
        return self.boot is not None and self.boot == other.boot


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSession:
    """A role's session, with what decides whether it is still that role's.

    Attributes:
        role: its name.
        configured: a digest of the role and all that it comes from, as configured.
        origin: a digest of the files that its source read; None where that is not known.
        elapsed_at_issue: ``Clock.elapsed()`` when it came, in the boot of ``kept``.
        kept: when it was kept.
        observation: what was known of AWS's clock then.
    """

    role: str
    configured: str
    origin: str | None
    credentials: Credentials = field(repr=False)
    elapsed_at_issue: timedelta
    kept: Moment
    observation: Observation | None

    def issued(self, at: Moment) -> timedelta | None:
        """Return ``elapsed_at_issue`` as the clock of ``at`` counts it; None where that cannot be told.

        Within a boot the time elapsed is known, which nobody can set. After another boot the wall clock alone tells it,
        and one that has gone back tells nothing.
        """
        if at.same_boot(self.kept):
            return self.elapsed_at_issue if at.elapsed >= self.kept.elapsed else None
        passed = at.now - self.kept.now
        if passed < timedelta():
            return None
        return at.elapsed - passed - (self.kept.elapsed - self.elapsed_at_issue)

    def schedule_holds(self, at: Moment) -> bool:
        """Whether it may be renewed as planned: the same boot, and nobody has set the wall clock meanwhile."""
        drift = (at.now - self.kept.now) - (at.elapsed - self.kept.elapsed)
        return at.same_boot(self.kept) and abs(drift) < STEPPED

    def to_json(self) -> bytes:
        """Return it as it is kept; holds secrets."""
        given = self.credentials
        seen = self.observation
        value = {
            "role": self.role,
            "configured": self.configured,
            "origin": self.origin,
            "credentials": {
                "access_key_id": given.access_key_id,
                "secret_access_key": given.secret_access_key,
                "session_token": given.session_token,
                "last_updated": given.last_updated.isoformat(),
                "expiration": given.expiration.isoformat(),
                "account_id": given.account_id,
                "arn": given.arn,
                "role_session_name": given.role_session_name,
            },
            "elapsed_at_issue": self.elapsed_at_issue.total_seconds(),
            "kept": {
                "now": self.kept.now.isoformat(),
                "elapsed": self.kept.elapsed.total_seconds(),
                "boot": self.kept.boot,
            },
            "observation": None
            if seen is None
            else [seen.server.isoformat(), seen.elapsed.total_seconds(), seen.difference.total_seconds()],
        }
        return json.dumps(value, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes) -> KeptSession:
        """Return what ``to_json`` wrote.

        Raises:
            ValueError: it was not written by ``to_json``; the message holds none of it.
        """
        try:
            return _read(json.loads(text))
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
            raise ValueError("a kept session is damaged") from None  # the error below would quote it


def bundle(sessions: Iterable[bytes]) -> bytes:
    """Return sessions as one text, for places that hold one."""
    return b'{"version":1,"sessions":[' + b",".join(sessions) + b"]}"


def unbundle(text: bytes) -> list[bytes]:
    """Return the sessions of a bundle.

    Raises:
        ValueError: it was not written by ``bundle``; the message holds none of it.
    """
    try:
        value = json.loads(text)
        if value["version"] != 1:
            raise ValueError  # noqa: TRY301 - as below
        return [json.dumps(session).encode() for session in value["sessions"]]
    except (ValueError, TypeError, LookupError, RecursionError):
        raise ValueError("what is kept of sessions is damaged") from None


def _read(value: Any) -> KeptSession:  # noqa: ANN401 - whatever was kept
    given, kept, seen = value["credentials"], value["kept"], value["observation"]
    name, boot, origin = given["role_session_name"], kept["boot"], value["origin"]
    credentials = Credentials(
        access_key_id=_text(given["access_key_id"]),
        secret_access_key=_text(given["secret_access_key"]),
        session_token=_text(given["session_token"]),
        last_updated=_utc(given["last_updated"]),
        expiration=_utc(given["expiration"]),
        account_id=_text(given["account_id"]),
        arn=_text(given["arn"]),
        role_session_name=None if name is None else _text(name),
    )
    return KeptSession(
        role=_text(value["role"]),
        configured=_text(value["configured"]),
        origin=None if origin is None else _text(origin),
        credentials=credentials,
        elapsed_at_issue=timedelta(seconds=value["elapsed_at_issue"]),
        kept=Moment(
            now=_utc(kept["now"]),
            elapsed=timedelta(seconds=kept["elapsed"]),
            boot=None if boot is None else _text(boot),
        ),
        observation=None
        if seen is None
        else Observation(
            server=_utc(seen[0]), elapsed=timedelta(seconds=seen[1]), difference=timedelta(seconds=seen[2])
        ),
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() is None:
        raise ValueError
    return moment.astimezone(UTC)
