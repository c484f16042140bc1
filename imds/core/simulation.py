"""EC2's events at will: what is simulated of an instance, by moments that were set beforehand.

A timeline is a list of events, each with the moment from which it holds; what holds at a moment is what has been told
until then. Nothing has to happen at that moment: who asks afterwards sees it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from imds.core.callers import Caller

MOST_EVENTS = 1000
"""Of one instance that are to come; more is a mistake in a script."""

MOST_HELD = 100
"""Maintenance events, faults and tags of one instance that hold; the oldest give way."""

FAULTS = ("latency", "unavailable", "throttled", "token-rejected", "reset", "expired", "near-expiry", "no-role")
MISDATED: Mapping[str, timedelta] = {"expired": timedelta(hours=-1), "near-expiry": timedelta(minutes=2)}
"""Faults that tell another expiry than the true one, and how much is left by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotInterruption:
    """A notice that EC2 takes a Spot instance back.

    Attributes:
        action: ``terminate``, ``stop`` or ``hibernate``.
        time: of the action, UTC.
    """

    action: str
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebalance:
    """A recommendation to rebalance, given at ``notice_time`` (UTC)."""

    notice_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """A scheduled event; times are UTC.

    Attributes:
        event_id: as in ``instance-event-0d59937288b749b32``; an event with the same id replaces it.
        code: as in ``system-reboot``.
        state: ``active``, ``completed`` or ``canceled``; the last two are history.
        description: for people.
    """

    event_id: str
    code: str
    state: str
    description: str
    not_before: datetime
    not_after: datetime | None = None
    not_before_deadline: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleState:
    """The state to which Auto Scaling brings the instance, as in ``Terminated``."""

    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleChange:
    """Another role is attached; None detaches the one there is."""

    role: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TagChange:
    """Tags get other values; None takes one away."""

    tags: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Requests go wrong on purpose, for a while.

    Attributes:
        kind: one of ``FAULTS``.
        until: when it ends, UTC.
        delay: before each answer, of a ``latency``.
        count: for how many requests at most; None for all.
        uid: of the only user who notices; None for all.
    """

    kind: str
    until: datetime
    delay: timedelta = timedelta()
    count: int | None = None
    uid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """Everything told before is over; with ``kind``, all of that kind."""

    kind: type | None = None


Event = SpotInterruption | Rebalance | Maintenance | LifecycleState | RoleChange | TagChange | Fault | Cleared


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What is simulated of an instance at a moment."""

    spot: SpotInterruption | None = None
    rebalance: Rebalance | None = None
    maintenance: tuple[Maintenance, ...] = ()
    lifecycle: LifecycleState | None = None
    role: RoleChange | None = None
    tags: Mapping[str, str | None] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()

    def told(self, event: Event) -> Simulated:  # noqa: PLR0911 - one return a kind
        """Return what is simulated once ``event`` has come."""
        match event:
            case SpotInterruption():
                return replace(self, spot=event)
            case Rebalance():
                return replace(self, rebalance=event)
            case Maintenance():
                others = tuple(other for other in self.maintenance if other.event_id != event.event_id)
                return replace(self, maintenance=(*others, event)[-MOST_HELD:])
            case LifecycleState():
                return replace(self, lifecycle=event)
            case RoleChange():
                return replace(self, role=event)
            case TagChange():
                return replace(self, tags=dict([*{**self.tags, **dict(event.tags)}.items()][-MOST_HELD:]))
            case Fault():
                return replace(self, faults=(*self.faults, event)[-MOST_HELD:])
            case Cleared():
                return replace(self, **_untold(event.kind)) if event.kind is not None else Simulated()


_FIELDS: Mapping[type, str] = {
    SpotInterruption: "spot",
    Rebalance: "rebalance",
    Maintenance: "maintenance",
    LifecycleState: "lifecycle",
    RoleChange: "role",
    TagChange: "tags",
    Fault: "faults",
}
NOTHING = Simulated()


def _untold(kind: type) -> dict[str, Any]:
    """Return the field of a kind of event as it is before any."""
    return {_FIELDS[kind]: getattr(NOTHING, _FIELDS[kind])}


class Timeline:
    """The events of one instance, and what holds now."""

    def __init__(self) -> None:
        self._coming: list[tuple[datetime, Event]] = []
        self._now = NOTHING

    def add(self, moment: datetime, event: Event) -> None:
        """Let ``event`` come at ``moment``; of several at the same moment the first added comes first."""
        self._coming.append((moment, event))
        self._coming.sort(key=lambda entry: entry[0])

    def at(self, now: datetime) -> Simulated:
        """Return what holds at ``now``: the same object as long as nothing changes."""
        while self._coming and self._coming[0][0] <= now:
            self._now = self._now.told(self._coming.pop(0)[1])
        if any(fault.until <= now for fault in self._now.faults):
            self._now = replace(self._now, faults=tuple(fault for fault in self._now.faults if fault.until > now))
        return self._now

    @property
    def coming(self) -> tuple[tuple[datetime, Event], ...]:
        """What is still to come."""
        return tuple(self._coming)

    @property
    def over(self) -> bool:
        """Whether nothing holds and nothing is to come."""
        return self._now == NOTHING and not self._coming

    def clear(self, kind: type | None) -> None:
        """Forget what holds and what is to come; with ``kind``, all of that kind."""
        self._coming = [
            (moment, event) for moment, event in self._coming if kind is not None and type(event) is not kind
        ]
        self._now = self._now.told(Cleared(kind=kind))


class Simulations:
    """The timelines of all instances."""

    def __init__(self) -> None:
        self._timelines: dict[str, Timeline] = {}
        self._noticed: dict[Fault, int] = {}
        self._over = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self._timelines)

    def timeline(self, instance: str) -> Timeline:
        """Return the timeline of an instance, to add to it."""
        return self._timelines.setdefault(instance, Timeline())

    def at(self, instance: str, now: datetime) -> Simulated:
        """Return what is simulated of an instance at ``now``."""
        timeline = self._timelines.get(instance)
        return timeline.at(now) if timeline is not None else NOTHING

    def told(self, now: datetime) -> dict[str, tuple[Simulated, tuple[tuple[datetime, Event], ...]]]:
        """Return what holds and what is to come, by instance."""
        return {name: (timeline.at(now), timeline.coming) for name, timeline in self._timelines.items()}

    def clear(self, instance: str | None, kind: type | None) -> None:
        """Forget the events of one instance, or all; with ``kind``, those of that kind."""
        for name in [name for name in self._timelines if instance in (None, name)]:
            self._timelines[name].clear(kind)
            if self._timelines[name].over:
                del self._timelines[name]
        if not self._timelines:
            self._noticed.clear()
        self.end_waits()

    async def wait(self, seconds: float) -> None:
        """Return after a simulated latency, or once it is cleared."""
        over = self._over
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await over.wait()

    def end_waits(self) -> None:
        """Let everybody who waits go on at once."""
        self._over.set()
        self._over = asyncio.Event()

    def faults(self, instance: str, caller: Caller, now: datetime, *, latency: bool = False) -> tuple[Fault, ...]:
        """Return what goes wrong with a request of ``caller``, and count it; or what holds it up: the ``latency``."""
        found = tuple(
            fault
            for fault in self.at(instance, now).faults
            if (fault.kind == "latency") is latency
            and fault.uid in (None, caller.uid)
            and (fault.count is None or self._noticed.get(fault, 0) < fault.count)
        )
        for fault in found:
            if fault.count is not None:
                self._noticed[fault] = self._noticed.get(fault, 0) + 1
        return found
