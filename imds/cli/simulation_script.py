"""A timeline for ``imds simulate --script``: a YAML list of events, each with the time after which it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imds.cli.simulate import user_id
from imds.config.document import read
from imds.core.spans import parse_span

if TYPE_CHECKING:
    from pathlib import Path

    from imds.config.document import Node

EVENTS = {
    "spot-interruption": ("action", "notice"),
    "rebalance": (),
    "maintenance": (*("code", "state", "event_id", "description", "not_before", "not_after", "not_before_deadline"),),
    "asg-lifecycle": ("state",),
    "role": ("role", "detach"),
    "tag": (),
    "fault": ("fault", "for", "delay", "count", "user"),
    "clear": ("kind",),
}
"""Each event's options; the first may stand alone as its value."""

SPANS = frozenset({"notice", "for", "delay"})


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
    entries = node.section("after", "instance", *EVENTS)
    named = [name for name in EVENTS if name in entries]
    if len(named) != 1:
        node.wrong("names " + ("no event" if not named else "several events") + f"; one of: {', '.join(EVENTS)}")
        return {}
    fields: dict[str, Any] = {"event": named[0]}
    if "after" in entries:
        fields["in"] = _span(entries["after"])
    if "instance" in entries:
        fields["instance"] = entries["instance"].text()
    return fields | _read_own(named[0], entries[named[0]])


def _read_own(event: str, node: Node) -> dict[str, Any]:
    """Return the event's own fields; the first alone may stand in their place."""
    known = EVENTS[event]
    if event == "tag":
        return {
            "tags": {key: None if value.is_null else value.text(empty=True) for key, value in node.mapping().items()}
        }
    if node.is_null:
        return {}
    if node.is_scalar and known:
        word = node.text()
        return {} if event == "clear" and word == "all" else {known[0]: word}
    fields: dict[str, Any] = {}
    for name, entry in node.section(*known).items():
        if name in SPANS:
            fields[name] = _span(entry)
        elif name == "detach":
            fields[name] = entry.boolean()
        elif name == "count":
            fields[name] = entry.whole(1, 1_000_000)
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


def _span(node: Node) -> float | None:
    text = node.text(what="a duration such as 800ms, 30s or 2m")
    seconds = parse_span(text) if text is not None else None
    if text is not None and seconds is None:
        node.wrong(f"{text!r} is not a duration: write 800ms, 30s, 2m or 1h30m")
    return seconds
