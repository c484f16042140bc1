"""``imds serve``: the daemon, in the foreground."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from imds.cli.announcing import announce
from imds.cli.options import config_option, load_config
from imds.cli.running import Plan, leave, run
from imds.host import logs, places, systemd

if TYPE_CHECKING:
    from pathlib import Path

    from imds.config.schema import Config
    from imds.daemon.surroundings import Surroundings


@click.command("serve")
@config_option
@click.option(
    "--listen",
    "listen",
    multiple=True,
    metavar="URL",
    help="Listen here instead, e.g. http://127.0.0.1:9254.",
)
@click.option("--role-arn", metavar="ARN", help="Serve this role, without a configuration file.")
@click.option("--profile", metavar="NAME", help="The profile of ~/.aws to start from; default: $AWS_PROFILE.")
@click.option("--role", "roles", multiple=True, metavar="NAME=ARN", help="Serve this role under NAME; repeatable.")
@click.option("--http-tokens", type=click.Choice(["required", "optional"]), help="IMDSv2 only, or v1 too.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("-v", "--verbose", is_flag=True, help="Log every request that gets nothing.")
def command(
    *,
    config_file: Path | None,
    listen: tuple[str, ...],
    role_arn: str | None,
    profile: str | None,
    roles: tuple[str, ...],
    http_tokens: str | None,
    log_format: str,
    verbose: bool,
) -> None:
    """Run the daemon in the foreground.

    Without a configuration it serves $AWS_PROFILE (or the default profile) to your own processes.

    \b
    imds serve
    imds serve --profile work --role-arn arn:aws:iam::111122223333:role/app
    imds serve --config imds.yaml --listen http://127.0.0.1:9254
    """

    def load() -> Config:
        nonlocal config_file
        config = load_config(config_file, profile=profile, role_arn=role_arn, roles=roles)
        config_file = config.path  # a file that is gone at a reload is a mistake, not a wish to serve the bare profile
        return _with_options(config, listen, http_tokens)

    logs.configure(log_format, verbose=verbose, journal="JOURNAL_STREAM" in os.environ and log_format == "text")
    run(Plan(load=load, surroundings=surroundings, announce=announce))
    leave()


def surroundings(config: Config) -> Surroundings:
    """Return where the daemon runs: this process's environment."""
    from imds.aws.environment import never_ask_ourselves  # noqa: PLC0415 - with the daemon
    from imds.daemon.surroundings import Surroundings  # noqa: PLC0415 - aiohttp is slow to import

    environment = dict(os.environ)
    given = systemd.handed_over(os.environ)
    never_ask_ourselves(os.environ)
    return Surroundings(
        environment=environment,
        state_directory=places.state_directory(environment),
        control_socket=config.control_socket or places.control_socket(environment),
        inherited=given.sockets,
        stored=given.stored,
        uid=os.getuid(),
    )


def _with_options(config: Config, listen: tuple[str, ...], http_tokens: str | None) -> Config:
    from imds.config.listen import parse_listen  # noqa: PLC0415 - yaml is not wanted by every command

    if listen:
        try:
            config = replace(config, listen=tuple(parse_listen(url) for url in listen))
        except ValueError as error:
            raise click.UsageError(f"--listen: {error}") from error
    if http_tokens is not None:
        required = http_tokens == "required"
        instances = {name: replace(one, token_required=required) for name, one in config.instances.items()}
        config = replace(config, instances=instances)
    return config
