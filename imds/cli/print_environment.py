"""``imds env``: the variables of ``imds exec``, for a shell to evaluate."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import click

from imds.cli.client_environment import changes
from imds.cli.control_client import find_daemon
from imds.cli.options import fail, socket_option
from imds.core.errors import ImdsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SHELLS = ("bash", "fish", "powershell", "dotenv")


@click.command("env")
@click.argument("role", required=False)
@click.option(
    "--shell",
    type=click.Choice(SHELLS),
    default="bash",
    show_default=True,
    help="bash serves every POSIX shell.",
)
@socket_option
def command(*, role: str | None, shell: str, socket_path: Path | None) -> None:
    """Print variables with which a shell's clients find the credentials of ROLE.

    They hold a token that opens this role for twelve hours, as long as the daemon runs.

    \b
    eval "$(imds env)"
    imds env admin --shell fish | source
    imds env --shell dotenv > .env
    """
    try:
        minted = find_daemon(socket_path).call("POST", "container-tokens", {"role": role})
    except ImdsError as error:
        fail(error)
    wanted = changes(os.environ, url=minted["url"], token=minted["token"], region=minted["region"])
    for note in wanted.notes:
        click.echo(f"imds: {note}", err=True)
    for line in lines(shell, wanted.removing, wanted.setting):
        click.echo(line)


def lines(shell: str, removing: tuple[str, ...], setting: dict[str, str]) -> Iterator[str]:
    """Yield what ``shell`` evaluates to take variables away and to set others."""
    quote, remove, assign = _DIALECTS[shell]
    if remove:
        for name in removing:
            yield remove.format(name=name)
    for name, value in setting.items():
        yield assign.format(name=name, value=quote(value))


def _quote_fish(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _quote_powershell(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


_DIALECTS: dict[str, tuple[Callable[[str], str], str, str]] = {
    "bash": (shlex.quote, "unset {name}", "export {name}={value}"),
    "fish": (_quote_fish, "set -e {name}", "set -gx {name} {value}"),
    "powershell": (_quote_powershell, "Remove-Item Env:{name}", "$env:{name} = {value}"),
    "dotenv": (str, "", "{name}={value}"),
}
