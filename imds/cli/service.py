"""``imds service``: imds as a service of systemd, or of launchd."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

import imds
from imds.cli import service_agent
from imds.cli.options import fail
from imds.cli.service_state import Report, config_problem, look, running_version, state_files
from imds.core.errors import ImdsError
from imds.host.service import installation, plans, units
from imds.host.service.files import Condition
from imds.host.service.systemctl import ServiceManagerError, Systemctl, UnitState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imds.host.service.files import OurFile
    from imds.host.service.installation import Installation
    from imds.host.service.plans import Plan
    from imds.host.service.units import Owner, Scope

user_option = click.option("--user", is_flag=True, help="Your own units, without root: a loopback address only.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would be done.")


@click.group("service")
def command() -> None:
    """Run imds as a service, started by its first client.

    \b
    sudo imds service install --for alice    169.254.169.254, with alice's ~/.aws
    imds service install --user              127.0.0.1:9254, without root
    """


@command.command("install")
@user_option
@click.option("--for", "owner_name", metavar="USER", help="The system's sockets for this user's service, with ~/.aws.")
@click.option("--machine", is_flag=True, help="The system's sockets for the machine's own service (the default).")
@click.option("--restart", is_flag=True, help="Restart what runs, sockets too where they have changed.")
@click.option("--force", is_flag=True, help="Replace unit files that are not ours, or that were changed by hand.")
@dry_run_option
def install(*, user: bool, owner_name: str | None, machine: bool, restart: bool, force: bool, dry_run: bool) -> None:
    """Write the units, enable and start the socket; run it again after an upgrade.

    The service runs this very installation. What is there already stays where it is right; drop-ins are kept.

    \b
    imds service install --for alice --dry-run
    sudo imds service install --for alice
    imds service install --user
    """
    if user and (owner_name or machine):
        raise click.UsageError("--for and --machine are of the system's service: leave --user out")
    if owner_name and machine:
        raise click.UsageError("--for and --machine exclude each other")
    scope, program = _scope(user=user), installation.this_installation()
    if service_agent.wanted():
        service_agent.install(program.program, user=user, force=force, dry_run=dry_run)
        return
    owner = _owner(scope, owner_name, machine=machine)
    systemctl = _manager(user=user)
    if not user and (why := installation.why_not_of_the_system(program)) is not None:
        fail(why)
    wish = plans.Wish(
        program=program.program,
        owner=owner,
        version=imds.__version__,
        restart=restart,
        not_yet=config_problem(user=user, owner=owner),
    )
    plan = _installing(scope, systemctl, wish, force=force)
    for warning in () if user else installation.warnings(program):
        click.echo(f"imds: warning: {warning}", err=True)
    _say(plan, f"{_of(user=user)} units run {shlex.join(program.program)}" + (f" for {owner.name}" if owner else ""))
    _carry_out(plan, user=user, dry_run=dry_run)
    for note in plan.notes:
        click.echo(note)
    if not dry_run:
        _conclude(scope, systemctl, program, plan)


@command.command("uninstall")
@user_option
@click.option("--keep-state", is_flag=True, help="Keep the system service's keys and audit log in /var/lib.")
@dry_run_option
def uninstall(*, user: bool, keep_state: bool, dry_run: bool) -> None:
    """Stop the service and remove all that it and `install` have left; configuration and drop-ins stay.

    \b
    sudo imds service uninstall
    imds service uninstall --user --dry-run
    """
    scope = _scope(user=user)
    if service_agent.wanted():
        service_agent.uninstall(user=user, dry_run=dry_run)
        return
    systemctl = _manager(user=user)
    try:
        plan = plans.removing(scope, systemctl, _all_units(scope, systemctl), keep_state=keep_state)
    except ImdsError as error:
        fail(error)
    if plan.idle:
        click.echo(f"{_of(user=user)} units are not installed")
        return
    _say(plan, f"{_of(user=user)} units go")
    _carry_out(plan, user=user, dry_run=dry_run)
    if not dry_run:
        plans.remove_empty_folders(scope)
        for path in state_files(user=user):
            click.echo(f"kept: {path}")


@command.command("status")
@user_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(*, user: bool, as_json: bool) -> None:
    """Show the units, whether they are this version's, and what to do next; status 1 where something is to be done.

    \b
    imds service status
    imds service status --user --json | jq .next
    """
    if service_agent.wanted():
        service_agent.status(as_json=as_json)
        return
    systemctl = _manager(user=user)
    try:
        report = look(_scope(user=user), systemctl, installation.this_installation())
    except ImdsError as error:
        fail(error)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        _describe(report)
    raise SystemExit(0 if report.next_step is None else 1)


def _installing(scope: Scope, systemctl: Systemctl, wish: plans.Wish, *, force: bool) -> Plan:
    try:
        installing = plans.Installing(scope, systemctl, _found(scope, systemctl), wish)
        if not force and (others := installing.not_ours()):
            _not_ours(others)
        return installing.plan()
    except ImdsError as error:
        fail(error)


def _conclude(scope: Scope, systemctl: Systemctl, program: Installation, plan: Plan) -> None:
    """Say what an installation has come to; what remains to be done has been said where the plan has notes."""
    report = look(scope, systemctl, program)
    if report.next_step is None:
        click.echo(f"{units.SOCKET} waits for clients")
    elif not plan.notes:
        click.echo(f"next: {report.next_step}")
    if scope.user:
        click.echo("clients need\n  export AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:9254/")
        click.echo(
            "EC2's own address and port 80 need the system's service; to run without a login: loginctl enable-linger"
        )


def _scope(*, user: bool) -> Scope:
    if user and os.getuid() == 0 and os.environ.get("SUDO_USER"):
        fail(f"--user is for your own units: run it as {os.environ['SUDO_USER']}, without sudo")
    return units.user_scope(os.environ) if user else units.system_scope()


def _manager(*, user: bool) -> Systemctl:
    systemctl = Systemctl(user=user)
    if (why := systemctl.why_not()) is not None:
        fail(why)
    return systemctl


def _owner(scope: Scope, name: str | None, *, machine: bool) -> Owner | None:
    """Return whose service is to have the sockets: as asked, else as it is."""
    if scope.user or machine:
        return None
    name = name or scope.owner_name()
    if name is None:
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        fail(f"there is no user {name!r}")
    if entry.pw_uid == 0:
        fail("root needs no service of its own: without --for it is the machine's, with /etc/imds/config.yaml")
    if not units.USER_NAME.fullmatch(name):
        fail(f"{name!r} cannot stand in a unit's name; use `imds service install --user` as that user")
    return units.Owner(name=name, home=Path(entry.pw_dir))


def _found(scope: Scope, systemctl: Systemctl) -> plans.Found:
    socket = systemctl.state(units.SOCKET)
    services = [unit for unit in _all_units(scope, systemctl) if unit.name.endswith(".service")]
    live = tuple(unit for unit in services if unit.active != "inactive" and unit.name != units.ADDRESS)
    version = running_version(user=scope.user, services=[unit.name for unit in live])
    return plans.Found(socket=socket, services=live, version=version)


def _all_units(scope: Scope, systemctl: Systemctl) -> list[UnitState]:
    """Return our units and their instances, those too of which only the state directory is left."""
    names = [name for name in scope.names if name != units.TEMPLATE]
    if not scope.user:
        names += [*systemctl.instances(), *(f"imds@{name}.service" for name in _with_state())]
    return [systemctl.state(name) for name in dict.fromkeys(names)]


def _with_state() -> Iterable[str]:
    """Yield the users whose instances have left something in /var/lib."""
    for folder in Path("/var/lib").glob("imds-*"):
        name = folder.name.removeprefix("imds-")
        try:
            if folder.stat().st_uid == pwd.getpwnam(name).pw_uid:
                yield name
        except (KeyError, OSError):
            continue


def _not_ours(others: Iterable[OurFile]) -> NoReturn:
    lines = []
    for file in others:
        changed = file.condition() is Condition.CHANGED
        what = "was changed by hand" if changed else "was not written by this command"
        lines.append(f"{file.path} {what}")
        lines += [f"  {line}" for line in (file.difference() if changed else [])]
    lines.append(
        "move what you need into a drop-in (systemctl edit), then run this again with --force, which replaces it"
    )
    fail("\n".join(lines))


def _say(plan: Plan, title: str) -> None:
    click.echo(title)
    for step in plan.steps:
        click.echo(f"  {step.text}")
        for detail in step.details:
            click.echo(f"      {detail}")
    if plan.idle:
        click.echo("  nothing is to be done")


def _carry_out(plan: Plan, *, user: bool, dry_run: bool) -> None:
    if dry_run or plan.idle:
        return
    if not user and os.geteuid() != 0:
        words = [word for word in sys.argv[1:] if word != "--dry-run"]
        fail(f"this needs root:\nsudo {shlex.join([*installation.this_installation().program, *words])}")
    for step in plan.steps:
        if step.do is None:
            continue
        try:
            step.do()
        except (OSError, ServiceManagerError) as error:
            fail(f"{step.text}: {error}\nwhat comes after it was not done; run this again when it is mended")


def _describe(report: Report) -> None:
    for unit in report.units:
        words = [unit.active or "not installed", unit.enabled, unit.status or unit.result]
        click.echo(f"{unit.name:24}{', '.join(word for word in words if word)}")
    for path, condition in report.files:
        click.echo(f"{condition.value:8}{path}")
    for path in report.drop_ins:
        click.echo(f"{'yours':8}{path}")
    if report.version:
        click.echo(f"imds {report.version} runs; this is {imds.__version__}")
    click.echo(f"next: {report.next_step}" if report.next_step else "all is well")


def _of(*, user: bool) -> str:
    return "your own" if user else "the system's"
