"""``imds exec``: one command with one role."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imds.cli.child import run_child
from imds.cli.client_environment import AUTHORIZATION_TOKEN_FILE, changes
from imds.cli.control_client import ControlClient, NoDaemonError, find_daemon
from imds.cli.holding import held
from imds.cli.lease_options import asked_for, in_scope, read_only_option, scope_option, seconds, told
from imds.cli.options import config_option, fail, load_config, socket_option
from imds.core.errors import ImdsError
from imds.core.leases import MAX_TTL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imds.config.schema import Config

RENEW_EVERY = 3600.0
"""Seconds between two renewals of the container token."""

TOKEN_TTL = 7 * 86400
"""Seconds; long enough for a laptop that sleeps over a weekend. The token ends with the command."""


class CommandAfterDashes(click.Command):
    """Takes everything after ``--`` as it stands."""

    needs_command = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Split at the first ``--``."""
        head, dashes, child = args, "", list[str]()
        if "--" in args:
            place = args.index("--")
            head, dashes, child = args[:place], "--", args[place + 1 :]
        rest = super().parse_args(ctx, head)
        if (dashes or self.needs_command) and not child:
            raise click.UsageError(f"put -- and the command at the end: imds {self.name} ROLE -- aws s3 ls", ctx)
        ctx.params["child"] = child if dashes else None
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Show the command in the usage line."""
        command = "-- COMMAND [ARG]..." if self.needs_command else "[-- COMMAND [ARG]...]"
        return [*super().collect_usage_pieces(ctx), command]


@click.command("exec", cls=CommandAfterDashes)
@click.argument("role", required=False)
@click.option("--lease", "ttl", callback=seconds, metavar="30m", help="As a lease: for so long at most, 1m to 12h.")
@read_only_option
@scope_option
@config_option
@socket_option
def command(
    *,
    role: str | None,
    ttl: int | None,
    read_only: bool,
    no_scope: bool,
    config_file: Path | None,
    socket_path: Path | None,
    child: list[str],
) -> None:
    """Run a command that finds the credentials of ROLE, and no others.

    They come from the running daemon, or from a server that lives as long as the command. Keys and profiles in the
    environment are taken away; signals and the exit status are passed on. With --lease or --read-only the command has a
    session of its own (see imds lease).

    \b
    imds exec -- aws sts get-caller-identity
    imds exec admin -- terraform plan
    imds exec --lease 30m --read-only -- claude
    """
    leased = None
    if ttl is not None or read_only:
        ttl = ttl or int(MAX_TTL.total_seconds())
        leased = asked_for(role, ttl=ttl, read_only=read_only, policy_file=None, reason="")
    elif no_scope:
        raise click.UsageError("--no-scope goes with --lease or --read-only: only a lease's command has a scope")
    try:
        if config_file is None:
            try:
                daemon = find_daemon(socket_path)
            except NoDaemonError:
                if socket_path is not None:
                    raise
            else:
                if leased is not None:
                    raise SystemExit(with_lease(daemon, leased, child, no_scope=no_scope))
                raise SystemExit(_with_daemon(daemon, role, child))
        config = load_config(config_file)
        raise SystemExit(asyncio.run(_without_daemon(config, role, child, leased)))
    except ImdsError as error:
        fail(error)


def with_lease(daemon: ControlClient, body: dict[str, Any], child: list[str], *, no_scope: bool) -> int:
    """Run a command with a lease that ends with it, or with us, and return its exit status.

    Raises:
        ImdsError: there is no such lease.
    """
    with held(daemon, body) as given, _token_file(given["token"]) as file:
        click.echo(f"imds: {told(given)}", err=True)
        command_line = in_scope(child, given, no_scope=no_scope)
        return asyncio.run(run_child(command_line, _environment(given, file)))


def _with_daemon(daemon: ControlClient, role: str | None, child: list[str]) -> int:
    minted = daemon.call("POST", "container-tokens", {"role": role, "ttl": TOKEN_TTL})
    if minted["unavailable"]:
        click.echo(f"imds: role {minted['role']} has no credentials yet: {minted['unavailable']}", err=True)

    def renew() -> None:
        daemon.call("POST", f"container-tokens/{minted['id']}/renew", {"ttl": TOKEN_TTL})

    try:
        with _token_file(minted["token"]) as file:
            return asyncio.run(run_child(child, _environment(minted, file), every=RENEW_EVERY, do=renew))
    finally:
        with contextlib.suppress(ImdsError):  # the daemon is gone; the token ends by itself
            daemon.call("DELETE", f"container-tokens/{minted['id']}")


async def _without_daemon(config: Config, role: str | None, child: list[str], leased: dict[str, Any] | None) -> int:
    from imds.aws.environment import never_ask_ourselves  # noqa: PLC0415 - with the daemon
    from imds.config.schema import NO_AUDIT, Listen  # noqa: PLC0415 - likewise
    from imds.daemon import Daemon  # noqa: PLC0415 - aiohttp is slow to import
    from imds.daemon.controls import DaemonControls  # noqa: PLC0415 - likewise
    from imds.daemon.reachable import role_of  # noqa: PLC0415 - likewise
    from imds.daemon.surroundings import Surroundings  # noqa: PLC0415 - likewise
    from imds.web.leases import read_request  # noqa: PLC0415 - likewise

    environment = dict(os.environ)
    never_ask_ourselves(os.environ)
    ephemeral = replace(config, listen=(Listen(host="127.0.0.1", port=0),), audit_log=NO_AUDIT)
    aws = {name: value for name, value in environment.items() if name.startswith("AWS_")}
    surroundings = Surroundings(environment=aws, state_directory=None, control_socket=None, uid=os.getuid())
    daemon = Daemon(load=lambda: ephemeral, surroundings=surroundings)
    controls, ttl = DaemonControls(daemon), timedelta(seconds=TOKEN_TTL)
    owner = await controls.peer(uid=os.getuid(), pid=os.getpid())
    _, role = role_of(owner.instance, role)
    daemon.keep_only(role)
    serving = asyncio.create_task(daemon.run())
    ready = asyncio.create_task(daemon.ready.wait())
    await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        await serving
    try:
        minted = (
            await controls.mint(owner, role=role, ttl=ttl)
            if leased is None
            else await daemon.leasing.grant(owner, read_request(leased))
        )
        if why := minted["unavailable"]:
            first = "start imds serve first, for it is " if "imds mfa" in why else ""
            raise ImdsError(f"role {role} has no credentials: {first}{why}")

        loop = asyncio.get_running_loop()

        def renew() -> None:
            if leased is None:
                asyncio.run_coroutine_threadsafe(controls.renew(owner, minted["id"], ttl=ttl), loop).result()

        with _token_file(minted["token"]) as file:
            return await run_child(child, _environment(minted, file, environment), every=RENEW_EVERY, do=renew)
    finally:
        daemon.stop()
        await serving


@contextlib.contextmanager
def _token_file(token: str) -> Iterator[Path]:
    """Keep the token in a file of mode 0600, too: Rust's object_store knows no other way to send one."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = runtime if Path(runtime).is_dir() and runtime else None
    with tempfile.NamedTemporaryFile("w", prefix="imds-token-", dir=folder) as file:
        file.write(token)  # no newline: botocore would refuse it
        file.flush()
        yield Path(file.name)


def _environment(minted: dict[str, Any], token_file: Path, environment: dict[str, str] | None = None) -> dict[str, str]:
    base = dict(os.environ) if environment is None else environment
    wanted = changes(base, url=minted["url"], token=minted["token"], region=minted["region"])
    for note in wanted.notes:
        click.echo(f"imds: {note}", err=True)
    return wanted.applied_to(base) | {AUTHORIZATION_TOKEN_FILE: str(token_file)}
