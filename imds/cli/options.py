"""Options and values that several commands share."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from imds.core.errors import AddressTakenError, ConfigError, ImdsError
from imds.core.roles import DEFAULT_DURATION, ROLE_NAME, RoleSession, fit_session_name, parse_role_arn
from imds.host import places
from imds.host.names import user_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.config.schema import Config, Role

EX_TEMPFAIL, EX_CONFIG = 75, 78
"""sysexits.h"""

config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="Configuration file; default: $IMDS_CONFIG, ~/.config/imds/config.yaml, /etc/imds/config.yaml.",
)
socket_option = click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path),
    help="The daemon's control socket; default: $IMDS_CONTROL_SOCKET, $XDG_RUNTIME_DIR, the state directory, /run.",
)


def template_variables() -> dict[str, str]:
    """Return what ``{user}``, ``{host}`` and ``{pid}`` stand for in session names."""
    user = user_name(os.getuid()) or f"uid-{os.getuid()}"
    return {"user": user, "host": socket.gethostname().partition(".")[0], "pid": str(os.getpid())}


def load_config(
    config_file: Path | None,
    *,
    profile: str | None = None,
    role_arn: str | None = None,
    roles: tuple[str, ...] = (),
) -> Config:
    """Return the configuration that the options mean: roles given here, else a file, else ``$AWS_PROFILE``.

    Raises:
        ConfigError: it has mistakes.
    """
    from imds.config import loading  # noqa: PLC0415 - yaml is not wanted by every command

    path = config_file or places.find_config(os.environ)
    if config_file is None and (profile or role_arn or roles):
        path = None
    if path is not None:
        if profile or role_arn or roles:
            raise click.UsageError("--config names the roles already: leave --profile, --role-arn and --role out")
        return loading.load(path, variables=template_variables(), uid=os.getuid())
    profile = profile or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
    return loading.without_file(_roles(profile, role_arn, roles), uid=os.getuid())


def _roles(profile: str | None, role_arn: str | None, named: tuple[str, ...]) -> Mapping[str, Role]:
    from imds.config.schema import Role  # noqa: PLC0415 - likewise
    from imds.config.sources import FromProfile  # noqa: PLC0415 - likewise

    source = FromProfile(profile=profile)
    arns: dict[str, str] = {}
    if role_arn is not None:
        parsed = parse_role_arn(role_arn)
        arns[parsed.name if parsed else ""] = role_arn
    for text in named:
        name, _, arn = text.partition("=")
        arns[name] = arn
    for name, arn in arns.items():
        if parse_role_arn(arn) is None or not ROLE_NAME.fullmatch(name):
            raise click.UsageError(f"{arn or name!r} is not a role's ARN such as arn:aws:iam::123456789012:role/NAME")
    if not arns:
        name = profile if profile and ROLE_NAME.fullmatch(profile) else "default"
        return {name: Role(source=source, session=None, duration=DEFAULT_DURATION)}
    session_name = fit_session_name("{user}-{host}".format(**template_variables()))
    return {
        name: Role(
            source=source,
            session=RoleSession(role_arn=arn, role_session_name=session_name),
            duration=DEFAULT_DURATION,
        )
        for name, arn in arns.items()
    }


def fail(error: ImdsError | str, *, status: int | None = None) -> NoReturn:
    """Say what is wrong on standard error and end with the status that it calls for."""
    for line in str(error).splitlines():
        click.echo(f"imds: {line}", err=True)
    if status is None:
        status = {ConfigError: EX_CONFIG, AddressTakenError: EX_TEMPFAIL}.get(type(error), 1)
    raise SystemExit(status)
