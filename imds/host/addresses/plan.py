"""What it takes to bring the addresses to this host, step by step, in each topology."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imds.core.addresses import INSTANCE_METADATA, INSTANCE_METADATA_6
from imds.host.addresses import AddressesError, Topology, tables
from imds.host.addresses.commands import command
from imds.host.addresses.seen import INNER, LINK, NAMESPACE, listing
from imds.host.addresses.things import Address, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imds.host.addresses.commands import Command
    from imds.host.addresses.record import Record
    from imds.host.addresses.seen import Seen
    from imds.host.addresses.things import Thing

NEAR, NEAR_6 = "169.254.169.253", "fd00:ec2::1"
"""What this host is called by the namespace's side of the link."""

FIRST, FIRST_6 = f"{INSTANCE_METADATA}/30", f"{INSTANCE_METADATA_6}/64"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be.

    Attributes:
        addresses: of which IPv6 ones are left out where IPv6 is off.
        target: where ``redirect`` leads, as HOST:PORT.
        guard: whether to keep the local network out.
    """

    topology: Topology
    addresses: tuple[str, ...]
    target: str = ""
    guard: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step.

    Attributes:
        why: what it is for; completes "to …".
        puts: the thing that is there afterwards, and goes by itself; None where it only arranges what was put before.
        commands: that do it.
        there: whether it is done already.
    """

    why: str
    puts: Thing | None
    commands: tuple[Command, ...]
    there: bool


def steps(wish: Wish, seen: Seen, record: Record) -> Iterator[Step]:
    """Yield the steps, the guard first: the addresses are never there without it.

    Raises:
        AddressesError: what is there is in the way.
    """
    ours = {one.thing for one in record.put if one.identity is not None}
    if wish.guard:
        yield _guard(wish, seen, ours)
    if wish.topology is Topology.FAITHFUL:
        yield from _namespace(wish, seen, ours)
        return
    for host in wish.addresses:
        yield _on_loopback(host, seen)
    if wish.topology is Topology.REDIRECT:
        text = tables.redirect(wish.addresses, wish.target)
        as_before = record.addresses == wish.addresses and record.target == wish.target
        yield Step(
            why=f"lead port 80 of them to {wish.target}",
            puts=tables.REDIRECT,
            commands=(command("nft -f -", text),),
            there=tables.REDIRECT in ours and as_before,
        )


def _guard(wish: Wish, seen: Seen, ours: set[Thing]) -> Step:
    foreign = seen.identity(tables.GUARD) is not None and tables.GUARD not in ours
    if foreign and not tables.guards(listing(tables.GUARD), wish.addresses):
        raise AddressesError(
            f"{tables.GUARD} is there, is not ours and does not guard {', '.join(wish.addresses)}: look at it with "
            f"`nft list table inet {tables.GUARD.name}`, and remove or complete it (or up --no-guard)"
        )
    return Step(
        why="let only this host and its containers send to the addresses, not its neighbours on the network",
        puts=tables.GUARD,
        commands=(command("nft -f -", tables.guard()),),
        there=foreign or tables.GUARD in ours,
    )


def _on_loopback(host: str, seen: Seen) -> Step:
    elsewhere = seen.device_of(host)
    address = Address(f"{host}/{128 if ':' in host else 32}", elsewhere or "lo")
    line = f"ip address add {address.address} dev lo scope link"
    if ":" in host:
        line = f"ip -6 address add {address.address} dev lo nodad"
    return Step(
        why=f"give this host the address {host}", puts=address, commands=(command(line),), there=elsewhere is not None
    )


def _namespace(wish: Wish, seen: Seen, ours: set[Thing]) -> Iterator[Step]:
    for thing in (NAMESPACE, LINK):
        if seen.identity(thing) is not None and thing not in ours:
            raise AddressesError(
                f"{thing} is there and is not ours: see `{_show(thing)}`, and remove it, or do without --faithful"
            )
    for host in wish.addresses:
        if (device := seen.device_of(host)) is not None:
            raise AddressesError(
                f"{host} is on {device} already, so nothing would ever get to a namespace: "
                f"take it away (ip address del {host} dev {device}), or do without --faithful"
            )
    inside, link = f"ip -n {NAMESPACE.name}", LINK.name
    yield Step(
        why="have a network for the addresses alone",
        puts=NAMESPACE,
        commands=(command(f"ip netns add {NAMESPACE.name}"),),
        there=NAMESPACE in ours,
    )
    yield Step(
        why="reach it",
        puts=LINK,
        commands=(command(f"ip link add {link} type veth peer name {INNER} netns {NAMESPACE.name}"),),
        there=LINK in ours,
    )
    v6 = any(":" in host for host in wish.addresses)
    lines = [f"{inside} link set lo up", f"{inside} link set {INNER} up", f"ip link set {link} up"]
    lines += [f"ip address replace {NEAR}/30 dev {link}", f"{inside} address replace {FIRST} dev {INNER}"]
    lines += [f"{inside} route replace default via {NEAR}"]
    if v6:
        lines += [f"ip -6 address replace {NEAR_6}/64 dev {link} nodad"]
        lines += [f"{inside} -6 address replace {FIRST_6} dev {INNER} nodad"]
        lines += [f"{inside} -6 route replace default via {NEAR_6}"]
    for host in _behind(wish):  # the first of each family is on the link's own network, fd00:ec2::23 is too
        lines += [f"{inside} address replace {host}/32 dev {INNER}"]
        lines += [f"ip route replace {host}/32 via {INSTANCE_METADATA} dev {link}"]
    others_6 = [host for host in wish.addresses if ":" in host and host != INSTANCE_METADATA_6]
    lines += [f"{inside} -6 address replace {host}/64 dev {INNER} nodad" for host in others_6]
    yield Step(
        why="give it the addresses, one hop away",
        puts=None,
        commands=tuple(map(command, lines)),
        there=_is_arranged(wish, seen, v6=v6) and LINK in ours,
    )
    yield Step(
        why="see containers' own addresses, which engines would hide behind this host's",
        puts=tables.SOURCE,
        commands=(command("nft -f -", tables.keep_source(link)),),
        there=tables.SOURCE in ours,
    )


def _behind(wish: Wish) -> list[str]:
    return [host for host in wish.addresses if ":" not in host and host != INSTANCE_METADATA]


def _is_arranged(wish: Wish, seen: Seen, *, v6: bool) -> bool:
    near = seen.devices.get(LINK.name)
    inside = {FIRST, "default-4", *(f"{host}/32" for host in _behind(wish))}
    outside = {f"{NEAR}/30"}
    if v6:
        inside |= {"default-6", *(f"{host}/64" for host in wish.addresses if ":" in host)}
        outside |= {f"{NEAR_6}/64"}
    return (
        near is not None
        and near.up
        and inside <= seen.inside
        and outside <= near.addresses
        and seen.routes.issuperset(_behind(wish))
    )


def _show(thing: Thing) -> str:
    if isinstance(thing, Table):
        return f"nft list table inet {thing.name}"
    return "ip netns list" if thing == NAMESPACE else f"ip link show {LINK.name}"
