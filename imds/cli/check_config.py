"""``imds check-config``: what a configuration would serve to whom, or everything that is wrong with it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imds.cli.options import config_option, fail, load_config
from imds.config.chains import profile_of
from imds.core.errors import ConfigError
from imds.core.instances import BEYOND_THIS_HOST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imds.config.schema import Config, Listen, Role


@click.command("check-config")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@config_option
def command(*, file: Path | None, config_file: Path | None) -> None:
    """Check a configuration and show what it would serve to whom.

    Every mistake is printed with its line; the exit status is then 78.

    \b
    imds check-config
    imds check-config ./imds.yaml
    """
    try:
        config = load_config(file or config_file)
    except ConfigError as error:
        fail(error)
    for line in _describe(config):
        click.echo(line)
    for warning in (*_rule_warnings(config), *_missing(config), *_missing_of_channels(config), *_not_imported(config)):
        click.echo(f"imds: warning: {warning}", err=True)


def _describe(config: Config) -> Iterator[str]:
    yield f"{config.path or 'no configuration file'}: ok"
    yield "listen"
    for listen in config.listen:
        yield f"  {_url(listen)}" + ("" if listen.required else "  (where this host has the address)")
    if config.admin_listen:
        yield "health and metrics"
        for place in config.admin_listen:
            yield f"  {place if isinstance(place, Path) else _url(place)}"
    if config.notify:
        yield "told that a role waits for an MFA code"
        for channel in config.notify:
            yield f"  {channel}" + ("  (optional)" if channel.optional else "")
    yield "roles"
    for name, role in config.roles.items():
        yield f"  {name}: {_what(role)}"
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
        identity = f"; identity credentials of {instance.identity_role}" if instance.identity_role else ""
        off = "" if instance.enabled else "; the metadata service is off"
        shown = instance.role or "none"
        more = f"{identity}{off}{control}"
        yield f"  {number}. {rule.text}: instance {instance.name}: role {shown}{also}; {versions}{more}"
    if config.allow_faults:
        yield "simulated faults may tell a false expiry (allow_faults)"


def _url(listen: Listen) -> str:
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    return f"http://{host}:{listen.port}/"


def _rule_warnings(config: Config) -> Iterator[str]:
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
                f"escape to a later rule ({', '.join(sorted(str(name) for name in later))}); another user or a "
                "container cannot be escaped"
            )
        if "leases" in asked and later:
            yield (
                f"callers: rule {number} ({rule.text}) goes by a lease's scope, which a program of the same user can "
                f"leave to a later rule ({', '.join(sorted(str(name) for name in later))}) by asking systemd"
            )
        if rule.instance is not None and asked & {"container", "networks"}:
            instance = config.instances[rule.instance]
            if instance.hop_limit < BEYOND_THIS_HOST and instance.token_required:
                yield (
                    f"callers: rule {number} ({rule.text}) is beyond this host, and instance {instance.name} gives no "
                    "tokens there: set its metadata_options: {http_put_response_hop_limit: 2}"
                )


def _not_imported(config: Config) -> Iterator[str]:
    """Yield what of the files of ``metadata_from`` is not used."""
    for name, instance in config.instances.items():
        yield from (f"instance {name}: {note}" for note in instance.overlay.notes)


def _what(role: Role) -> str:
    """Return what a role's sessions are, how long they live, and what narrows them."""
    session = role.session
    if session is None:
        return f"its own session with {role.source}"
    narrowed = [arn.rpartition("/")[2] for arn in session.policy_arns] + ["policy"] * (session.policy is not None)
    only = f", narrowed by {', '.join(narrowed)}" if narrowed else ""
    stamped = f"; leases are stamped with {', '.join(role.stamp)}" if role.stamp else ""
    guard = role.break_glass
    if guard is not None:
        approved = f", approved by {' or '.join(guard.approvers)}" if guard.approvers else ""
        told = ", ".join(str(channel) for channel in guard.notify) or "nobody"
        code = ", with an MFA code" if guard.mfa else ""
        stamped = f"; break-glass: for {guard.max_ttl} at most{approved}{code}; told: {told}"
    what = session.role_arn or "the role that is offered"
    return f"{what} with {role.source}, for {session.duration}{only}{stamped}"


def _missing(config: Config) -> Iterator[str]:
    """Yield what roles need and this user does not find (yet)."""
    import botocore.session  # noqa: PLC0415 - slow, and wanted only here

    profiles = botocore.session.Session().available_profiles
    for name, role in config.roles.items():
        profile = profile_of(role.source)
        if profile is not None and profile not in profiles:
            yield f"role {name}: there is no profile {profile} in ~/.aws (yet)"
        for file in role.source.files:
            if not file.exists():
                yield f"role {name}: there is no {file} (yet)"
        for program in role.source.programs:
            if shutil.which(program) is None:
                yield f"role {name}: there is no program {program}"


def _missing_of_channels(config: Config) -> Iterator[str]:
    """Yield likewise what is needed to tell people."""
    for channel in config.channels:
        for program in channel.programs:
            if shutil.which(program) is None:
                yield f"notify: {channel}: there is no program {program}"
        for file in channel.files:
            if not file.exists():
                yield f"notify: {channel}: there is no {file} (yet)"
