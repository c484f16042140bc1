"""EC2's events at will: what is simulated of an instance, by moments that were set beforehand.

A timeline is a list of events, each with the moment from which it holds; what holds at a moment is what has been told
until then. Nothing has to happen at that moment: who asks afterwards sees it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from imds.core.events import Cleared, Fault, Maintenance, TagChange

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from imds.core.callers import Caller
    from imds.core.events import Event, LifecycleState, Rebalance, RoleChange, SpotInterruption

MOST_EVENTS = 1000
"""Of one instance that are to come; more is a mistake in a script."""

MOST_HELD = 100
"""Maintenance events, faults and tags of one instance that hold; the oldest give way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What is simulated of an instance at a moment: by the names of the events, with ``_`` for ``-``."""

    spot_interruption: SpotInterruption | None = None
    rebalance: Rebalance | None = None
    maintenance: tuple[Maintenance, ...] = ()
    asg_lifecycle: LifecycleState | None = None
    role: RoleChange | None = None
    tag: Mapping[str, str | None] = field(default_factory=dict)
    fault: tuple[Fault, ...] = ()

    def after(self, event: Event) -> Simulated:
        """Return what is simulated once ``event`` has come."""
        value: Any = event
        match event:
            case Cleared(kind=None):
                return NOTHING
            case Cleared(kind=str(kind)):
                return replace(self, **{_field(kind): getattr(NOTHING, _field(kind))})
            case Maintenance():
                others = (other for other in self.maintenance if other.event_id != event.event_id)
                value = (*others, event)[-MOST_HELD:]
            case TagChange():
                value = dict([*{**self.tag, **dict(event.tags)}.items()][-MOST_HELD:])
            case Fault():
                value = (*self.fault, event)[-MOST_HELD:]
        return replace(self, **{_field(event.EVENT): value})


NOTHING = Simulated()


def _field(event: str) -> str:
    return event.replace("-", "_")


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
            self._now = self._now.after(self._coming.pop(0)[1])
        if any(fault.until <= now for fault in self._now.fault):
            self._now = replace(self._now, fault=tuple(fault for fault in self._now.fault if fault.until > now))
        return self._now

    @property
    def coming(self) -> tuple[tuple[datetime, Event], ...]:
        """What is still to come."""
        return tuple(self._coming)

    @property
    def over(self) -> bool:
        """Whether nothing holds and nothing is to come."""
        return self._now == NOTHING and not self._coming

    def clear(self, kind: str | None) -> None:
        """Forget what holds and what is to come; with ``kind``, all events of that name."""
        self._coming = [(moment, event) for moment, event in self._coming if kind not in (None, event.EVENT)]
        self._now = self._now.after(Cleared(kind=kind))


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

    def listed(self, now: datetime) -> dict[str, tuple[Simulated, tuple[tuple[datetime, Event], ...]]]:
        """Return what holds and what is to come, by instance."""
        return {name: (timeline.at(now), timeline.coming) for name, timeline in self._timelines.items()}

    def clear(self, instance: str | None, kind: str | None) -> None:
        """Forget the events of one instance, or all; with ``kind``, those of that name."""
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
            for fault in self.at(instance, now).fault
            if (fault.kind == "latency") is latency
            and fault.uid in (None, caller.uid)
            and (fault.count is None or self._noticed.get(fault, 0) < fault.count)
        )
        for fault in found:
            if fault.count is not None:
                self._noticed[fault] = self._noticed.get(fault, 0) + 1
        return found
