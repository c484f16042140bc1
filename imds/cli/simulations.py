"""What ``imds simulate`` says to the daemon, and how it shows what is simulated."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from imds.cli.control_client import ControlError, find_daemon
from imds.cli.options import fail
from imds.core.errors import ImdsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def send(socket_path: Path | None, events: list[dict[str, Any]]) -> None:
    """Add events, and show what is simulated then."""
    try:
        told = find_daemon(socket_path).call("POST", "simulations", {"events": events})
    except ControlError as error:
        fail(ControlError(str(error).removeprefix("0: ")))
    except ImdsError as error:
        fail(error)
    for line in lines(told):
        click.echo(line)


def send_script(socket_path: Path | None, script: Path) -> None:
    """Add the events of a script; a mistake is told at its line."""
    from imds.cli.simulation_script import read_script  # noqa: PLC0415 - yaml is wanted only here

    entries: list[tuple[int, dict[str, Any]]] = []
    try:
        entries = read_script(script)
        told = find_daemon(socket_path).call("POST", "simulations", {"events": [event for _, event in entries]})
    except ControlError as error:
        number, _, text = str(error).partition(": ")
        where = f"{script}:{entries[int(number)][0]}: " if number.isdecimal() else ""
        fail(ControlError(where + (text if where else str(error))))
    except ImdsError as error:
        fail(error)
    for line in lines(told):
        click.echo(line)


def clear(socket_path: Path | None, event: str | None, instance: str | None) -> None:
    """End what is simulated: of one kind or all, of one instance or all."""
    try:
        find_daemon(socket_path).call("POST", "simulations/clear", {"event": event, "instance": instance})
    except ImdsError as error:
        fail(error)


def show(socket_path: Path | None, *, as_json: bool) -> None:
    """Show what is simulated."""
    try:
        told = find_daemon(socket_path).call("GET", "simulations")
    except ImdsError as error:
        fail(error)
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    for line in lines(told) or ["nothing is simulated"]:
        click.echo(line)


def lines(told: dict[str, Any]) -> list[str]:
    """Return what is simulated, for people."""
    return list(_lines(told))


def _lines(told: dict[str, Any]) -> Iterator[str]:
    for instance, about in told.items():
        for event, value in about["now"].items():
            for one in value if isinstance(value, list) else [value]:
                yield f"{instance}: {event}{_fields(one)}"
        for coming in about["coming"]:
            at, event = coming.pop("at"), coming.pop("event")
            yield f"{instance}: at {at}: {event}{_fields(coming)}"


def _fields(about: dict[str, Any]) -> str:
    return "".join(f", {name.replace('_', ' ')} {value}" for name, value in about.items() if value not in (None, 0, []))
