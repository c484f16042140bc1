"""How and when a person is asked for an MFA code: arithmetic, and the wishes that it follows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

DEFAULT_LEAD = timedelta(minutes=30)

ENOUGH = timedelta(minutes=5)
"""What must be left of a session at the preferred hour; the roles look for another source session at that point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How a code of one device comes to us.

    Attributes:
        command: a program that prints one, and its arguments.
        prompts: the dialogs to open, ``pinentry`` or ``desktop``; the first that can be opened.
        seed_in_keyring: whether codes are made of a seed that the desktop's keyring keeps.
        lead: how long before the end of the session a code is asked for.
        at: the hour, by the machine's local time, to ask at instead, where one lies in the session's later part.
        remind: after how long it is asked again; None asks once.
    """

    command: tuple[str, ...] | None = None
    prompts: tuple[str, ...] = ()
    seed_in_keyring: bool = False
    lead: timedelta = DEFAULT_LEAD
    at: time | None = None
    remind: timedelta | None = None


def ask_at(began: datetime, ends: datetime, asking: Asking, *, zone: tzinfo | None = None) -> datetime:
    """Return when to ask for the code that renews a session.

    The preferred hour counts where it is neither in the first quarter of the session, when the last code has just been
    given, nor in its last minutes; a lead is half of the session's life at most, so that nobody is asked in a circle.

    Args:
        began: UTC.
        ends: UTC.
        asking: the wishes.
        zone: of the preferred hour; None is the machine's.
    """
    life = ends - began
    if asking.at is not None:
        earliest, latest = began + life / 4, ends - ENOUGH
        last_day = latest.astimezone(zone).date()
        for days in range(3):
            wall = datetime.combine(last_day - timedelta(days=days), asking.at, tzinfo=zone)
            hour = wall.astimezone(UTC)
            if earliest <= hour <= latest:
                return hour
    return ends - min(asking.lead, life / 2)
