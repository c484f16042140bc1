"""``imds check-config``: what a configuration would serve to whom, or everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from imds.cli.options import fail, load_config
from imds.config.chains import profile_of
from imds.core.errors import ConfigError
from imds.core.instances import BEYOND_THIS_HOST

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
    for warning in _warnings(config):
        click.echo(f"imds: warning: {warning}", err=True)
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
        control = "; controls the daemon" if instance.control else ""
        shown = instance.role or "none"
        yield f"  {number}. {rule.text}: instance {instance.name}: role {shown}{also}; {versions}{control}"


def _warnings(config: Config) -> Iterator[str]:
    """Yield what is allowed but surely not meant."""
    for number, rule in enumerate(config.callers, start=1):
        earlier = enumerate(config.callers[: number - 1], start=1)
        covering = next((other for other, before in earlier if before.match.covers(rule.match)), None)
        if covering is not None:
            yield f"callers: rule {number} ({rule.text}) is never reached: rule {covering} means all of its callers"
        asked = rule.match.asked()
        later = {other.instance for other in config.callers[number:] if other.instance not in (rule.instance, None)}
        if asked & {"exes", "commands", "ancestors"} and later:
            yield (
                f"callers: rule {number} ({rule.text}) goes by a program's name, which a program of the same user can "
                f"escape to a later rule ({', '.join(sorted(str(name) for name in later))}); a unit, a container or "
                "another user cannot be escaped"
            )
        if rule.instance is not None and asked & {"container", "networks"}:
            instance = config.instances[rule.instance]
            if instance.hop_limit < BEYOND_THIS_HOST and instance.token_required:
                yield (
                    f"callers: rule {number} ({rule.text}) is beyond this host, and instance {instance.name} gives no "
                    "tokens there: set its metadata_options: {http_put_response_hop_limit: 2}"
                )


def _missing_profiles(config: Config) -> list[str]:
    import botocore.session  # noqa: PLC0415 - slow, and wanted only here

    wanted = {profile for role in config.roles.values() if (profile := profile_of(role.source)) is not None}
    return sorted(wanted - set(botocore.session.Session().available_profiles))
