"""``imds completion``: completion for the shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(*, shell: str) -> None:
    """Print a completion script.

    \b
    echo 'eval "$(imds completion bash)"' >> ~/.bashrc
    imds completion fish > ~/.config/fish/completions/imds.fish
    """
    from imds.cli import main  # noqa: PLC0415 - it imports this module

    kind = get_completion_class(shell)
    if kind is None:  # click knows all of SHELLS
        raise click.UsageError(f"no completion for {shell}")
    click.echo(kind(main, {}, "imds", "_IMDS_COMPLETE").source())
