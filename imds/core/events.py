"""EC2's events and faults that can be simulated, and what may be asked of them. Times are UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

SPOT_ACTIONS = ("terminate", "stop", "hibernate")
MAINTENANCE_CODES: Mapping[str, str] = {
    "system-reboot": "The host of the instance is scheduled for a reboot",
    "instance-reboot": "The instance is scheduled for a reboot",
    "system-maintenance": "The instance is scheduled for maintenance of network or power",
    "instance-retirement": "The instance is scheduled for retirement",
    "instance-stop": "The instance is scheduled to be stopped",
}
"""And what is said of each where nobody describes it."""

MAINTENANCE_STATES = ("active", "completed", "canceled")
LIFECYCLE_STATES = (
    *("InService", "Detached", "Standby", "Terminated"),
    *("Warmed:Hibernated", "Warmed:Running", "Warmed:Stopped", "Warmed:Terminated"),
)
FAULTS = ("latency", "unavailable", "throttled", "token-rejected", "reset", "expired", "near-expiry", "no-role")
MISDATED: Mapping[str, timedelta] = {"expired": timedelta(hours=-1), "near-expiry": timedelta(minutes=2)}
"""Faults that tell another expiry than the true one, and how much is left by it."""

LONGEST = timedelta(days=366)
"""Until an event comes, and from a notice to what it announces."""

LONGEST_FAULT = timedelta(hours=1)
LONGEST_DELAY = timedelta(minutes=1)
MOST_REQUESTS = 1_000_000
"""For which a fault may be at most, unless it is for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotInterruption:
    """A notice that EC2 takes a Spot instance back.

    Attributes:
        action: one of ``SPOT_ACTIONS``.
        time: of the action.
    """

    EVENT: ClassVar = "spot-interruption"
    action: str
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebalance:
    """A recommendation to rebalance, given at ``notice_time``."""

    EVENT: ClassVar = "rebalance"
    notice_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """A scheduled event.

    Attributes:
        event_id: as in ``instance-event-0d59937288b749b32``; an event with the same id replaces it.
        code: one of ``MAINTENANCE_CODES``.
        state: one of ``MAINTENANCE_STATES``; all but the first are history.
        description: for people.
    """

    EVENT: ClassVar = "maintenance"
    event_id: str
    code: str
    state: str
    description: str
    not_before: datetime
    not_after: datetime | None = None
    not_before_deadline: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleState:
    """The state to which Auto Scaling brings the instance, one of ``LIFECYCLE_STATES``."""

    EVENT: ClassVar = "asg-lifecycle"
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleChange:
    """Another role is attached; None detaches the one there is."""

    EVENT: ClassVar = "role"
    role: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TagChange:
    """Tags get other values; None takes one away."""

    EVENT: ClassVar = "tag"
    tags: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Requests go wrong on purpose, for a while.

    Attributes:
        kind: one of ``FAULTS``.
        until: when it ends.
        delay: before each answer, of a ``latency``.
        count: for how many requests at most; None for all.
        uid: of the only user who notices; None for all.
    """

    EVENT: ClassVar = "fault"
    kind: str
    until: datetime
    delay: timedelta = timedelta()
    count: int | None = None
    uid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """Everything before is over; with ``kind``, all events of that name."""

    EVENT: ClassVar = "clear"
    kind: str | None = None


Event = SpotInterruption | Rebalance | Maintenance | LifecycleState | RoleChange | TagChange | Fault | Cleared
EVENTS: tuple[str, ...] = tuple(
    kind.EVENT for kind in (SpotInterruption, Rebalance, Maintenance, LifecycleState, RoleChange, TagChange, Fault)
)
"""The names of all that can hold."""
