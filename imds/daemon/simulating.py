"""Reads what ``imds simulate`` asks for, and tells what is simulated. Times are UTC, durations seconds."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from imds.core.errors import BadRequestError
from imds.core.events import LONGEST, MISDATED, Event, Fault, RoleChange, TagChange
from imds.core.simulation import MOST_EVENTS, Simulated
from imds.core.timestamps import timestamp
from imds.daemon.event_fields import READERS, Fields, event_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from imds.core.instances import Instance
    from imds.core.simulation import Simulations


class Simulating:
    """Adds events to timelines.

    Args:
        simulations: the timelines.
        instances: gives those of the configuration in force, by name.
        allow_faults: gives whether documents may tell a false expiry.
        guarded: gives the break-glass roles, which no instance can have attached.
    """

    def __init__(
        self,
        simulations: Simulations,
        *,
        instances: Callable[[], Mapping[str, Instance]],
        allow_faults: Callable[[], bool],
        guarded: Callable[[], AbstractSet[str]] = frozenset,
    ) -> None:
        self._simulations = simulations
        self._instances = instances
        self._guarded = guarded
        self._allow_faults = allow_faults

    def add(self, entries: Any, now: datetime) -> int:  # noqa: ANN401 - whatever a client sent
        """Take in events: all of them, or none.

        Raises:
            BadRequestError: one is wrong; the text begins with its number, from 0, and a colon.
        """
        if not isinstance(entries, list) or not 1 <= len(entries) <= MOST_EVENTS:
            raise BadRequestError(f"events must be a list of 1 to {MOST_EVENTS} events")
        read = []
        for number, entry in enumerate(entries):
            try:
                read.append(self._read(Fields(entry), now))
            except BadRequestError as error:
                raise BadRequestError(f"{number}: {error}") from error
        coming = Counter(instance for instance, _, _ in read)
        for instance, count in coming.items():
            if len(self._simulations.timeline(instance).coming) + count > MOST_EVENTS:
                raise BadRequestError(f"more than {MOST_EVENTS} events of instance {instance} are to come: clear some")
        for instance, moment, event in read:
            self._simulations.timeline(instance).add(moment, event)
        return len(read)

    def clear(self, kind: str | None, instance: str | None, now: datetime) -> None:
        """Forget events, of one kind or all, of one instance or all.

        Raises:
            BadRequestError: there is no such kind or instance.
        """
        if instance is not None and instance not in {*self._instances(), *self._simulations.listed(now)}:
            raise BadRequestError(self._no_instance(instance))
        self._simulations.clear(instance, event_name(kind) if kind is not None else None)

    def listed(self, now: datetime) -> dict[str, Any]:
        """Return what holds, and what is to come, by instance."""
        return {
            name: {"now": _plain_simulated(simulated), "coming": [_coming(*entry) for entry in coming]}
            for name, (simulated, coming) in self._simulations.listed(now).items()
        }

    def kinds(self, now: datetime) -> dict[str, list[str]]:
        """Return the kinds of events that hold, by instance."""
        return {name: sorted(about["now"]) for name, about in self.listed(now).items() if about["now"]}

    def _read(self, entry: Fields, now: datetime) -> tuple[str, datetime, Event]:
        kind = entry.one_of("event", tuple(READERS))
        name = entry.text("instance") or "default"
        if name not in self._instances():
            raise BadRequestError(self._no_instance(name))
        at, after = entry.moment("at"), entry.span("in", LONGEST)
        if at is not None and after is not None:
            raise BadRequestError("in and at say the same in two ways: give one of them")
        moment = at or now + (after or timedelta())
        event = READERS[kind](entry, moment)
        entry.all_read(kind)
        if isinstance(event, RoleChange) and event.role is not None and event.role not in self._instances()[name].roles:
            known = ", ".join(sorted(self._instances()[name].roles)) or "none"
            raise BadRequestError(f"instance {name} does not allow role {event.role}; it allows: {known}")
        if isinstance(event, RoleChange) and event.role in self._guarded():
            raise BadRequestError(f"role {event.role} is a break-glass role: it is attached to no instance")
        if isinstance(event, Fault) and event.kind in MISDATED and not self._allow_faults():
            raise BadRequestError(f"{event.kind} documents tell something false: allow_faults: true would let them")
        return name, moment, event

    def _no_instance(self, name: str) -> str:
        return f"no instance {name}; there are: {', '.join(self._instances())}"


def _coming(moment: datetime, event: Event) -> dict[str, Any]:
    about = {"tags": dict(event.tags)} if isinstance(event, TagChange) else _plain(event)
    return {"at": _plain(moment), "event": event.EVENT, **about}


def _plain_simulated(simulated: Simulated) -> dict[str, Any]:
    """Return what holds, by kind of event; what does not is left out."""
    values = {part.name.replace("_", "-"): getattr(simulated, part.name) for part in fields(simulated)}
    return {event: _plain(value) for event, value in values.items() if value}


def _plain(value: Any) -> Any:  # noqa: ANN401 - any part of an event
    """Return a part of an event as JSON has it."""
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value
