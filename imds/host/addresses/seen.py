"""What is there already: interfaces, addresses, nftables' tables, our namespace."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imds.host.addresses import AddressesError
from imds.host.addresses.commands import ask, command
from imds.host.addresses.things import Address, Link, Namespace, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imds.host.addresses.things import Thing

LINK = Link("imds0")
NAMESPACE = Namespace("imds")
INNER = "eth0"
"""The link's end in the namespace."""

NAMESPACES = Path("/run/netns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A network interface.

    Attributes:
        index: the kernel's number of it.
        up: whether it is in use.
        addresses: with their prefix lengths.
    """

    index: int
    up: bool
    addresses: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """This network namespace.

    Attributes:
        tables: nftables' of the family inet, with the kernel's number of each; None where this user may not know.
        namespace: the kernel's number of ours; None where there is none.
        inside: the addresses in ours, and ``default`` for each family's default route.
        routes: destinations behind our link.
        ipv6: whether ``lo`` may have such addresses.
    """

    devices: Mapping[str, Device]
    tables: Mapping[str, int] | None
    namespace: int | None = None
    inside: frozenset[str] = frozenset()
    routes: frozenset[str] = frozenset()
    ipv6: bool = True

    def identity(self, thing: Thing) -> int | None:
        """Return the kernel's number of a thing, 0 for an address, None for what is not there."""
        match thing:
            case Address():
                device = self.devices.get(thing.device)
                return 0 if device is not None and thing.address in device.addresses else None
            case Table():
                return (self.tables or {}).get(thing.name)
            case Link():
                device = self.devices.get(thing.name)
                return device.index if device is not None else None
            case Namespace():
                return self.namespace

    def without(self, things: Iterable[Thing]) -> Seen:
        """Return what will be there once some things are gone."""
        gone = frozenset(things)
        devices = {
            name: replace(
                device, addresses=frozenset(one for one in device.addresses if Address(one, name) not in gone)
            )
            for name, device in self.devices.items()
            if Link(name) not in gone
        }
        tables = {name: number for name, number in (self.tables or {}).items() if Table(name) not in gone}
        namespace = None if NAMESPACE in gone else self.namespace
        return replace(
            self, devices=devices, tables=tables, namespace=namespace, inside=frozenset(), routes=frozenset()
        )

    def device_of(self, host: str) -> str | None:
        """Return the interface that has an address."""
        for name, device in self.devices.items():
            if any(one.partition("/")[0] == host for one in device.addresses):
                return name
        return None


def look() -> Seen:
    """Return what is there.

    Raises:
        AddressesError: ``ip`` is missing, or does not tell.
    """
    devices = _devices("ip -j address show")
    namespace = _namespace()
    inside: frozenset[str] = frozenset()
    routes: frozenset[str] = frozenset()
    if namespace is not None and LINK.name in devices:
        with suppress(AddressesError):  # only root may look inside
            inside = _inside()
        routes = frozenset(
            str(route["dst"]) for family in ("-4", "-6") for route in ask(f"ip {family} -j route show dev {LINK.name}")
        )
    return Seen(devices=devices, tables=_tables(), namespace=namespace, inside=inside, routes=routes, ipv6=ipv6_is_on())


def _inside() -> frozenset[str]:
    name = NAMESPACE.name
    inner = _devices(f"ip -n {name} -j address show").get(INNER)
    defaults = [f"default{family}" for family in ("-4", "-6") if ask(f"ip -n {name} {family} -j route show default")]
    return frozenset({*(inner.addresses if inner is not None and inner.up else ()), *defaults})


def _devices(line: str) -> dict[str, Device]:
    try:
        return {
            str(one["ifname"]): Device(
                index=int(one["ifindex"]),
                up="UP" in one["flags"],
                addresses=frozenset(f"{had['local']}/{had['prefixlen']}" for had in one["addr_info"] if had),
            )
            for one in ask(line)
            if one
        }
    except (LookupError, TypeError, ValueError) as error:
        raise AddressesError(f"`{line}` prints something unknown ({error!r})") from error


def _tables() -> dict[str, int] | None:
    try:
        told = ask("nft -j list tables")["nftables"]
        tables = [one["table"] for one in told if "table" in one]
        return {str(table["name"]): int(table["handle"]) for table in tables if table["family"] == "inet"}
    except (AddressesError, LookupError, TypeError, ValueError):
        return {} if os.geteuid() == 0 else None  # a kernel without them, or no nft: who needs it says so


def listing(table: Table) -> str:
    """Return a table as ``nft`` lists it; nothing where it cannot be seen."""
    with suppress(AddressesError):
        return command(f"nft list table inet {table.name}").run()
    return ""


def _namespace() -> int | None:
    """Return the number of ours, None where there is none, or a file alone that one has left behind."""
    with suppress(OSError):
        found, own = (NAMESPACES / NAMESPACE.name).stat(), Path("/proc/self/ns/net").stat()
        if found.st_dev == own.st_dev:
            return found.st_ino
    return None


def ipv6_is_on() -> bool:
    """Whether `lo` may have IPv6 addresses."""
    with suppress(OSError):
        return Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6").read_text().strip() == "0"
    return False
