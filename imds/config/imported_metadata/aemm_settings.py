"""What AEMM's files say of the mock itself, and what to write or run here instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imds.config.imported_metadata.json_values import shown, unquoted

if TYPE_CHECKING:
    from imds.config.imported_metadata.draft import Draft
    from imds.config.imported_metadata.json_values import Entry

_ELSEWHERE = {
    "watch-config-file": "after a change: imds reload",
    "mock-ip-count": "a callers rule says who sees an instance, and --instance of imds simulate which has the event",
}
"""Settings of which no command is made, and what to do instead."""

_WITHOUT_EFFECT = ("config-file", "save-config-to-file")
_TIMES = (
    *("mock-delay-sec", "mock-trigger-time", "rebalance-delay-sec", "rebalance-trigger-time"),
    *("asg-termination-delay-sec", "asg-termination-trigger-time"),
)
KEYS = (*_ELSEWHERE, *_WITHOUT_EFFECT, *_TIMES, "spot", "events", "asglifecycle", "imdsv2", "server")
"""Every key of a file that is not metadata."""

_EVENT_OPTIONS = ("code", "state", "not-before", "not-after", "not-before-deadline")
_UNSET = (None, "0", "false")
_DEFAULT_IP_COUNT = "2"
_HARMLESS = re.compile(r"(?!-)[A-Za-z0-9:.+-]{1,64}")


def note_settings(draft: Draft, entry: Entry, *, event_id: str | None) -> None:
    """Say of each setting what does the same here.

    Args:
        draft: takes the notes.
        entry: the file, its keys in lower case.
        event_id: the value ``event-id`` among the metadata.

    Raises:
        ValueError: a setting has a type that AEMM does not take.
    """
    _note_spot(draft, entry)
    _note_event(draft, entry, event_id)
    _note_lifecycle(draft, entry)
    _note_server(draft, entry)
    for key, instead in _ELSEWHERE.items():
        if entry.text(key) not in (*_UNSET, _DEFAULT_IP_COUNT):
            draft.note(f"{key} is not used; {instead}")
    for key in entry.values:
        if key not in (*KEYS, "metadata", "dynamic", "userdata"):
            draft.note(f"{shown(key)} is not used: AEMM has no such setting")


def _note_spot(draft: Draft, entry: Entry) -> None:
    spot = entry.folded("spot")
    when = _when(entry, "mock")
    if "spot" in entry.values:
        command = _command("spot-interruption", {"--action": spot.text("action"), **when})
        until = spot.text("time")
        notice = f", and --notice so that it ends at {unquoted(until)}" if until else ""
        draft.note(f"spot interruptions are simulated at run time: {command}{notice}")
    moment = spot.text("rebalance-rec-time")
    if when_advised := _when(entry, "rebalance") or ({"--at": moment} if moment else {}):
        draft.note(f"rebalance recommendations are simulated at run time: {_command('rebalance', when_advised)}")
    if when and "spot" not in entry.values and "events" not in entry.values:
        draft.note(f"mock-delay-sec and mock-trigger-time are not used: {_command('spot-interruption', when)}")


def _note_event(draft: Draft, entry: Entry, event_id: str | None) -> None:
    if "events" not in entry.values and event_id is None:
        return
    events = entry.folded("events")
    options = {f"--{name}": events.text(name) for name in _EVENT_OPTIONS}
    command = _command("maintenance", {**options, "--event-id": event_id, **_when(entry, "mock")})
    draft.note(f"maintenance events are simulated at run time: {command}")


def _note_lifecycle(draft: Draft, entry: Entry) -> None:
    entry.folded("asglifecycle")
    if when := _when(entry, "asg-termination"):
        command = _command("asg-lifecycle Terminated", when)
        draft.note(f"Auto Scaling's target state is simulated at run time: {command}")


def _note_server(draft: Draft, entry: Entry) -> None:
    tokens = entry.text("imdsv2")
    if tokens is not None:
        wanted = "required" if tokens.lower() in ("true", "1") else "optional"
        draft.note(f"imdsv2 is not used: metadata_options: {{http_tokens: {wanted}}}")
    server = entry.folded("server")
    host, port = server.text("hostname"), server.text("port")
    if host is not None or port is not None:
        address = unquoted(f"http://{host or '0.0.0.0'}:{port or '1338'}")  # noqa: S104 - AEMM's own default
        draft.note(f"server is not used: listen: [{address}]")


def _when(entry: Entry, kind: str) -> dict[str, str | None]:
    """Return the option for the moment of an event; AEMM prefers a moment to a delay."""
    at, delay = entry.text(f"{kind}-trigger-time"), entry.text(f"{kind}-delay-sec")
    if at not in _UNSET:
        return {"--at": at}
    return {"--in": f"{delay}s"} if delay not in _UNSET else {}


def _command(what: str, options: dict[str, str | None]) -> str:
    """Return a command to run; a value of the file is in it only where no shell makes something else of it."""
    given = [f"{name} {text}" for name, text in options.items() if text is not None and _HARMLESS.fullmatch(text)]
    return " ".join(["imds simulate", what, *given])
