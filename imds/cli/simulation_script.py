"""A timeline for ``imds simulate --script``: a YAML list of events, each with the time after which it comes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from imds.cli.simulate import user_id
from imds.config.document import read
from imds.core.events import (
    LONGEST,
    LONGEST_DELAY,
    LONGEST_FAULT,
    MOST_REQUESTS,
    Cleared,
    Fault,
    LifecycleState,
    Maintenance,
    Rebalance,
    RoleChange,
    SpotInterruption,
    TagChange,
)

if TYPE_CHECKING:
    from pathlib import Path

    from imds.config.document import Node

OPTIONS = {
    SpotInterruption.EVENT: ("action", "notice"),
    Rebalance.EVENT: (),
    Maintenance.EVENT: ("code", "state", "event_id", "description", "not_before", "not_after", "not_before_deadline"),
    LifecycleState.EVENT: ("state",),
    RoleChange.EVENT: ("role", "detach"),
    TagChange.EVENT: (),
    Fault.EVENT: ("fault", "for", "delay", "count", "user"),
    Cleared.EVENT: ("kind",),
}
"""Each event's options; the first may stand alone as its value."""

DURATIONS = {"notice": LONGEST, "for": LONGEST_FAULT, "delay": LONGEST_DELAY}
"""Those that are durations, and their longest."""


def read_script(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Return the line and the fields of each event.

    Raises:
        ConfigError: the file is not a timeline; all of its mistakes.
    """
    root = read(path)
    events = [(item.line, _read_event(item)) for item in root.items()]
    if not events:
        root.wrong("has no events")
    root.problems.raise_if_any()
    return events


def _read_event(node: Node) -> dict[str, Any]:
    entries = node.section("after", "instance", *OPTIONS)
    named = [name for name in OPTIONS if name in entries]
    if len(named) != 1:
        node.wrong("names " + ("no event" if not named else "several events") + f"; one of: {', '.join(OPTIONS)}")
        return {}
    fields: dict[str, Any] = {"event": named[0]}
    if "after" in entries:
        fields["in"] = _seconds(entries["after"], LONGEST)
    if "instance" in entries:
        fields["instance"] = entries["instance"].text()
    return fields | _read_own(named[0], entries[named[0]])


def _read_own(event: str, node: Node) -> dict[str, Any]:
    """Return the event's own fields; the first alone may stand in their place."""
    known = OPTIONS[event]
    if event == TagChange.EVENT:
        return {
            "tags": {key: None if value.is_null else value.text(empty=True) for key, value in node.mapping().items()}
        }
    if node.is_null:
        return {}
    if node.is_scalar and known:
        word = node.text()
        return {} if event == Cleared.EVENT and word == "all" else {known[0]: word}
    fields: dict[str, Any] = {}
    for name, entry in node.section(*known).items():
        if name in DURATIONS:
            fields[name] = _seconds(entry, DURATIONS[name])
        elif name == "detach":
            fields[name] = entry.boolean()
        elif name == "count":
            fields[name] = entry.whole(1, MOST_REQUESTS)
        elif name == "user":
            fields["uid"] = _uid(entry)
        else:
            fields[name] = entry.text()
    return fields


def _uid(node: Node) -> int | None:
    import click  # noqa: PLC0415 - for its error alone

    try:
        return user_id(node.text(what="a user's name or uid"))
    except click.UsageError as error:
        node.wrong(error.message)
        return None


def _seconds(node: Node, longest: timedelta) -> float | None:
    duration = node.duration(timedelta(), longest, fractions=True)
    return duration.total_seconds() if duration is not None else None
