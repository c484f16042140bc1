"""``imds address``: EC2's addresses on this machine, brought there and taken away."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imds.cli.options import fail
from imds.core.errors import ImdsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from imds.host.addresses import Topology
    from imds.host.addresses.plan import Wish
    from imds.host.addresses.record import Record

_CAP_NET_ADMIN = 12
EX_USAGE, EX_NOPERM = 2, 77
"""click's, and of sysexits.h."""

PATH_OF_SUDO = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""As distributions set it (``secure_path``)."""

EX_CANNOT, EX_NOT_FOUND = 126, 127
"""As a shell ends where a program cannot be run."""

dry_run_option = click.option("-n", "--dry-run", is_flag=True, help="Show the commands, and run none.")


@click.group("address")
def command() -> None:
    """Give this machine EC2's own addresses, so that clients need no variable to find the daemon.

    \b
    imds address up --dry-run       show what it would do
    sudo imds address up            do it
    imds address status
    sudo imds address down          undo exactly that
    """
    if not sys.platform.startswith("linux"):
        fail("this is for Linux. On macOS: sudo ifconfig lo0 alias 169.254.169.254/32, and pf for port 80")


@command.command("up")
@click.option("--container", is_flag=True, help="Also 169.254.170.2 (ECS) and 169.254.170.23 (EKS).")
@click.option("--ipv6", is_flag=True, help="Also fd00:ec2::254; with --container fd00:ec2::23 too.")
@click.option("--all", "everything", is_flag=True, help="All five addresses.")
@click.option("--direct", "topology", flag_value="direct", help="The daemon listens on port 80 there.")
@click.option("--redirect", "topology", flag_value="redirect", help="Port 80 is led to another port of the daemon's.")
@click.option("--faithful", "topology", flag_value="faithful", help="In a network of their own; hops count as on EC2.")
@click.option("--to", "target", metavar="[HOST:]PORT", help="Where --redirect leads.  [default: 127.0.0.1:9254]")
@click.option("--no-guard", is_flag=True, help="Leave neighbours on the network to a firewall of yours.")
@dry_run_option
def up(
    *,
    container: bool,
    ipv6: bool,
    everything: bool,
    topology: str | None,
    target: str | None,
    no_guard: bool,
    dry_run: bool,
) -> None:
    """Give this machine 169.254.169.254, behind a guard that keeps the local network away from it.

    Without --direct, --redirect or --faithful it is direct, and redirect where port 80 is taken, where a container is
    published on it, or where the user who called sudo may not listen there. What is there already stays as it is.
    A reboot undoes it.

    \b
    sudo imds address up
    sudo imds address up --all --redirect --to 9300
    sudo imds address up --faithful && sudo imds address exec -- imds serve
    """
    from imds.host.addresses import AddressesError  # noqa: PLC0415 - wanted by this command alone

    container, ipv6 = container or everything, ipv6 or everything
    if target is not None and topology not in (None, "redirect"):
        raise click.UsageError("--to is for --redirect")
    _need_root(dry_run=dry_run)

    def change() -> None:
        from imds.host.addresses import doing  # noqa: PLC0415 - likewise
        from imds.host.addresses.obstacles import first_unprivileged_port  # noqa: PLC0415 - likewise
        from imds.host.addresses.report import neighbours  # noqa: PLC0415 - likewise
        from imds.host.addresses.seen import look  # noqa: PLC0415 - likewise
        from imds.host.clouds import cloud  # noqa: PLC0415 - likewise

        kept = doing.ours_now()
        wish = _wish(kept, _addresses(container=container, ipv6=ipv6), topology, target, guard=not no_guard)
        doing.bring_up(wish, say=click.echo, really=not dry_run)
        if (name := cloud()) is not None:
            click.echo(f"imds: this is a machine of {name}, whose own metadata service is out of reach now", err=True)
        if not wish.guard and (exposed := neighbours(look())):
            click.echo(f"imds: without the guard neighbours on {', '.join(exposed)} reach the addresses", err=True)
        for line in _next(wish, first_unprivileged_port()):
            click.echo(f"# {line}")

    _under_lock(change, dry_run=dry_run, errors=AddressesError)


@command.command("down")
@dry_run_option
def down(*, dry_run: bool) -> None:
    """Take away what `up` has put there, and nothing else; also after it was interrupted.

    \b
    sudo imds address down
    """
    from imds.host.addresses import AddressesError  # noqa: PLC0415 - wanted by this command alone

    _need_root(dry_run=dry_run)

    def change() -> None:
        from imds.host.addresses import doing  # noqa: PLC0415 - likewise

        if not doing.take_down(say=click.echo, really=not dry_run):
            click.echo("# nothing of ours is there")

    _under_lock(change, dry_run=dry_run, errors=AddressesError)


@command.command("status")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(*, as_json: bool) -> None:
    """Show which addresses are there and by whom, the guard, who listens on port 80 there, and what answers.

    Only root sees nftables' rules, and which program of another user listens.

    \b
    imds address status
    imds address status --json | jq -r '.problems[]'
    """
    from imds.cli.address_status import describe  # noqa: PLC0415 - wanted by this command alone
    from imds.host.addresses.report import report  # noqa: PLC0415 - likewise

    try:
        told = report()
    except ImdsError as error:
        fail(error)
    for line in [json.dumps(told, indent=2)] if as_json else describe(told):
        click.echo(line)


@command.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--user", metavar="NAME", help="Whose program it is to be; default: who called sudo.")
@click.argument("words", nargs=-1, required=True, metavar="CMD...", type=click.UNPROCESSED)
def execute(*, user: str | None, words: tuple[str, ...]) -> None:
    """Open port 80 on the addresses, and run CMD as an ordinary user with these sockets, as systemd would.

    The daemon needs no privilege then, and with --faithful it could not get there otherwise.
    It has 127.0.0.1:9254 too, and its own `listen` is not used.

    \b
    sudo imds address exec -- imds serve --profile work
    sudo imds address exec --user alice -- imds serve
    """
    from imds.host import handing_over  # noqa: PLC0415 - wanted by this command alone
    from imds.host.addresses import Topology, doing  # noqa: PLC0415 - likewise
    from imds.host.addresses.seen import NAMESPACE, NAMESPACES  # noqa: PLC0415 - likewise
    from imds.host.listeners import Address  # noqa: PLC0415 - likewise

    _need_root(dry_run=False)
    whose = _ordinary_user(user)
    try:
        kept = doing.ours_now()
        if not kept.put:
            fail("the addresses are not there: sudo imds address up")
        if kept.topology is Topology.REDIRECT:
            fail(f"port 80 is led to {kept.target}, where any user may listen: run {shlex.join(words)} without this")
        namespace = NAMESPACES / NAMESPACE.name if kept.topology is Topology.FAITHFUL else None
        sockets = handing_over.listen_in(namespace, [Address(host, 80) for host in kept.addresses])
        sockets += handing_over.listen_in(None, [Address("127.0.0.1", 9254)])
        program = _program() if words[0] == "imds" else [words[0]]
        handing_over.run_with(sockets, [*program, *words[1:]], whose, os.environ)
    except ImdsError as error:
        fail(error)
    except OSError as error:
        status = EX_NOT_FOUND if isinstance(error, FileNotFoundError) else EX_CANNOT
        fail(f"{words[0]}: {error.strerror or error}", status=status)


def _addresses(*, container: bool, ipv6: bool) -> tuple[str, ...]:
    from imds.core.addresses import CONTAINER_ADDRESSES  # noqa: PLC0415 - wanted by this command alone
    from imds.host.addresses import ALL  # noqa: PLC0415 - likewise

    return tuple(host for host in ALL if (container or host not in CONTAINER_ADDRESSES) and (ipv6 or ":" not in host))


def _wish(kept: Record, addresses: tuple[str, ...], topology: str | None, target: str | None, *, guard: bool) -> Wish:
    """Return what is to be, and say why."""
    from imds.host.addresses import Topology, tables  # noqa: PLC0415 - wanted by this command alone
    from imds.host.addresses.choosing import choose  # noqa: PLC0415 - likewise
    from imds.host.addresses.plan import Wish  # noqa: PLC0415 - likewise
    from imds.host.addresses.seen import ipv6_is_on  # noqa: PLC0415 - likewise

    if not ipv6_is_on() and any(":" in host for host in addresses):
        click.echo("# IPv6 is off on this machine: its addresses are left out")
        addresses = tuple(host for host in addresses if ":" not in host)
    asked: Topology | None = Topology(topology) if topology else Topology.REDIRECT if target else None
    choice = choose(asked, kept, addresses, for_uid=_uid_behind_sudo() or os.getuid())
    click.echo(f"# {choice.topology.value}: {choice.because}")
    if choice.warning:
        click.echo(f"imds: {choice.warning}", err=True)
    before = kept.target if kept.topology is choice.topology else ""
    try:
        to = tables.target_of(target) if target else before or tables.LOOPBACK_TARGET
    except ValueError as error:
        raise click.UsageError(f"--to {error}") from error
    to = to if choice.topology is Topology.REDIRECT else ""
    return Wish(topology=choice.topology, addresses=addresses, target=to, guard=guard)


def _next(wish: Wish, first_port: int) -> list[str]:
    """Return what to do now."""
    from imds.host.addresses import Topology, tables  # noqa: PLC0415 - wanted by this command alone
    from imds.host.listeners import Address  # noqa: PLC0415 - likewise

    sudo = f"sudo {_called()}"
    undo = f"`{sudo} address down` undoes it"
    if wish.topology is Topology.REDIRECT:
        targets = dict.fromkeys(Address(*tables.target_for(host, wish.target)).url for host in wish.addresses)
        where = f"the daemon is to listen there: imds serve --listen {' --listen '.join(targets)}"
        if list(targets) == [f"http://{tables.LOOPBACK_TARGET}/"]:
            where = "the daemon listens there by itself: imds serve"
        if wish.target.startswith("127."):
            return [where, "containers do not get there; --to 169.254.169.254:PORT lets them", undo]
        return [where, undo]
    how = [f"`{sudo} address exec -- imds serve` runs the daemon there, as yourself"]
    if wish.topology is Topology.DIRECT and first_port > 80:  # noqa: PLR2004 - HTTP's
        how += ["or let everybody listen on port 80: sudo sysctl net.ipv4.ip_unprivileged_port_start=80"]
    return [*how, undo]


def _under_lock(change: Callable[[], None], *, dry_run: bool, errors: type[ImdsError]) -> None:
    from imds.host.addresses import record  # noqa: PLC0415 - wanted by these commands alone

    try:
        if dry_run:
            change()
            return
        with record.locked():
            change()
    except errors as error:
        fail(error)


def _need_root(*, dry_run: bool) -> None:
    """End here where we may not change the network, with the command that may."""
    if dry_run:
        return
    if os.geteuid() != 0:
        click.echo(
            "imds: this changes the machine's network, so it needs root (--dry-run shows what it does): run", err=True
        )
        click.echo(f"  sudo {shlex.join([*_program(), *sys.argv[1:]])}", err=True)
        raise SystemExit(EX_NOPERM)
    if not _may_change_network():
        fail("root may not change the network here (no CAP_NET_ADMIN): run it on the host itself", status=EX_NOPERM)


def _may_change_network() -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_NET_ADMIN & 1)
    return True


def _program() -> list[str]:
    """Return how to call this very program, whatever PATH another user has."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return [sys.executable, "-m", "imds"]
    return [str(called.absolute())]


def _called() -> str:
    """Return how people call it with ``sudo``, which may look for programs in fewer places than they do."""
    return "imds" if shutil.which("imds", path=PATH_OF_SUDO) else shlex.join(_program())


def _uid_behind_sudo() -> int:
    """Return the user who called ``sudo``; 0 for nobody else than root."""
    uid = os.environ.get("SUDO_UID", "")
    return int(uid) if uid.isdecimal() else 0


def _ordinary_user(name: str | None) -> pwd.struct_passwd:
    uid = _uid_behind_sudo()
    if name is None and not uid:
        fail("whose program is it to be? The daemon needs no root: name a user with --user", status=EX_USAGE)
    try:
        return pwd.getpwnam(name) if name is not None else pwd.getpwuid(uid)
    except KeyError:
        fail(f"there is no user {name or uid}: name one with --user", status=EX_USAGE)
