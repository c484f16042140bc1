"""``imds check-config``: what a configuration would serve to whom, or everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from imds.cli.options import fail, load_config
from imds.config.chains import profile_of
from imds.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imds.config.schema import Config


@click.command("check-config")
@click.argument("file", required=False, type=click.Path(path_type=Path))
def command(*, file: Path | None) -> None:
    """Check a configuration and show what it would serve to whom.

    Every mistake is printed with its line; the exit status is then 78.

    \b
    imds check-config
    imds check-config ./imds.yaml
    """
    try:
        config = load_config(file)
    except ConfigError as error:
        fail(error)
    for line in _describe(config):
        click.echo(line)
    for profile in _missing_profiles(config):
        click.echo(f"imds: warning: there is no profile {profile} in ~/.aws (yet)", err=True)


def _describe(config: Config) -> Iterator[str]:
    yield f"{config.path or 'no configuration file'}: ok"
    yield "listen"
    for listen in config.listen:
        host = f"[{listen.host}]" if ":" in listen.host else listen.host
        yield f"  http://{host}:{listen.port}/" + ("" if listen.required else "  (where this host has the address)")
    yield "roles"
    for name, role in config.roles.items():
        what = "its own session" if role.session is None else role.session.role_arn or "the role that is offered"
        yield f"  {name}: {what} with {role.source}"
    yield "callers, first match wins, no match is refused"
    for number, rule in enumerate(config.callers, start=1):
        if rule.instance is None:
            yield f"  {number}. {rule.text}: refused ({rule.refuse})"
            continue
        instance = config.instances[rule.instance]
        others = sorted(instance.roles - {instance.role})
        also = f", by name also {', '.join(others)}" if others else ""
        versions = "IMDSv2" if instance.token_required else "IMDSv1 and v2"
        yield f"  {number}. {rule.text}: instance {instance.name}: role {instance.role or 'none'}{also}; {versions}"


def _missing_profiles(config: Config) -> list[str]:
    import botocore.session  # noqa: PLC0415 - slow, and wanted only here

    wanted = {profile for role in config.roles.values() if (profile := profile_of(role.source)) is not None}
    return sorted(wanted - set(botocore.session.Session().available_profiles))
