"""What ``imds simulate`` says to the daemon, and how it shows what is simulated."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from imds.cli.control_client import ControlError, find_daemon
from imds.cli.options import fail
from imds.core.errors import ImdsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def send(socket_path: Path | None, events: list[dict[str, Any]], places: Sequence[str] = ()) -> None:
    """Add events, and show what is simulated then.

    Args:
        socket_path: the daemon's; None looks for it.
        events: all of them are taken, or none.
        places: where each stands in a file, for a mistake in it.
    """
    try:
        listed = find_daemon(socket_path).call("POST", "simulations", {"events": events})
    except ControlError as error:
        number, _, text = str(error).partition(": ")
        if not number.isdecimal():
            fail(error)
        fail(ControlError(f"{places[int(number)]}: {text}" if places else text))
    except ImdsError as error:
        fail(error)
    for line in lines(listed):
        click.echo(line)


def send_script(socket_path: Path | None, script: Path) -> None:
    """Add the events of a script; a mistake is told at its line."""
    from imds.cli.simulation_script import read_script  # noqa: PLC0415 - yaml is wanted only here

    try:
        entries = read_script(script)
    except ImdsError as error:
        fail(error)
    send(socket_path, [event for _, event in entries], [f"{script}:{line}" for line, _ in entries])


def clear(socket_path: Path | None, event: str | None, instance: str | None) -> None:
    """End what is simulated: of one kind or all, of one instance or all."""
    try:
        find_daemon(socket_path).call("POST", "simulations/clear", {"event": event, "instance": instance})
    except ImdsError as error:
        fail(error)


def show(socket_path: Path | None, *, as_json: bool) -> None:
    """Show what is simulated."""
    try:
        listed = find_daemon(socket_path).call("GET", "simulations")
    except ImdsError as error:
        fail(error)
    if as_json:
        click.echo(json.dumps(listed, indent=2))
        return
    for line in [*lines(listed)] or ["nothing is simulated"]:
        click.echo(line)


def lines(listed: dict[str, Any]) -> Iterator[str]:
    """Yield what is simulated, for people."""
    for instance, about in listed.items():
        for event, value in about["now"].items():
            for one in value if isinstance(value, list) else [value]:
                yield f"{instance}: {event}{_fields(one)}"
        for coming in about["coming"]:
            own = {name: value for name, value in coming.items() if name not in ("at", "event")}
            yield f"{instance}: at {coming['at']}: {coming['event']}{_fields(own)}"


def _fields(about: dict[str, Any]) -> str:
    said = {name: value for name, value in about.items() if value not in (None, []) and (value or name != "delay")}
    return "".join(f", {name.replace('_', ' ')} {value}" for name, value in said.items())
