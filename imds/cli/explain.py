"""``imds explain``: which rule decides for a process or an address, and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from imds.cli.control_client import find_daemon
from imds.cli.options import fail, socket_option
from imds.core.callers import printable
from imds.core.errors import ImdsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORDS = {True: "yes", False: "no", None: "not known"}


@click.command("explain")
@click.option("--pid", type=click.IntRange(1), help="A process of this host.")
@click.option("--from", "address", metavar="IP", help="An address, of a container for example.")
@click.option("--listener", metavar="HOST:PORT", help="The address of ours that it asks, where rules tell them apart.")
@socket_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(
    *, pid: int | None, address: str | None, listener: str | None, socket_path: Path | None, as_json: bool
) -> None:
    """Show which rule of callers decides for a process or an address, and why.

    \b
    imds explain --pid $$
    imds explain --from 172.17.0.2
    """
    if (pid is None) == (address is None):
        raise click.UsageError("give one of --pid and --from")
    question: dict[str, Any] = {"pid": pid} if pid is not None else {"from": address}
    if listener is not None:
        question["listener"] = listener
    try:
        answer = find_daemon(socket_path).call("POST", "explain", question)
    except ImdsError as error:
        fail(error)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    for line in _lines(answer):
        click.echo(line)


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    for name, value in answer["caller"].items():
        if value not in (None, []):
            yield f"{name:10} {_shown(value)}"
    yield "rules"
    for rule in answer["rules"]:
        yield f"  {rule['number']}. {rule['rule']}: {WORDS[rule['matches']]}"
    outcome = f"instance {answer['instance']}" if answer["instance"] else "refused"
    yield f"{outcome}: {answer['because']}"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        labels = ", ".join(f"{name}={text}" for name, text in value.get("labels", ()))
        return f"{value['name']} ({value['image']})" + (f" {labels}" if labels else "")
    return printable(" < ".join(str(one) for one in value) if isinstance(value, list) else str(value))
