"""What keeps a daemon from port 80 of the addresses: somebody who has it, a published container, a limit."""

from __future__ import annotations

import errno
import re
import socket
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING

from imds.core.addresses import PORT
from imds.host.addresses import AddressesError, tables
from imds.host.addresses.commands import command
from imds.host.occupants import occupants

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_IP_FREEBIND = 15
_TO_ANOTHER = re.compile(r"\b(dnat|redirect)\b", re.IGNORECASE)
_ONE_INTERFACE = re.compile(r'(?<!! )(?:iifname "|-i )')
_DESTINATION = re.compile(r"(?:ip6? daddr|(?<!! )-d) ([0-9a-f.:/]+)")


def taken(addresses: Iterable[str], port: int = PORT) -> str | None:
    """Return who has the port of one of the addresses because it has that of all; None where nobody has.

    Who listens on the very address is not meant: that is the daemon, or whoever else is to be asked there.
    """
    for host in addresses:
        others = [one for one in occupants(host, port) if ip_address(one.bound).is_unspecified and not one.is_imds]
        if others and not _can_bind(host, port):
            return str(others[0])
    return None


def held(addresses: Iterable[str], port: int = PORT) -> str | None:
    """Return who listens on the port of one of the very addresses: the daemon, or whoever holds its sockets for it."""
    for host in addresses:
        for one in occupants(host, port):
            if one.bound == host:
                return str(one)
    return None


def _can_bind(host: str, port: int) -> bool:
    """Whether the kernel would give it to us; not, where it does not say for lack of permission."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            probe.bind((host, port))
    except OSError as error:
        return error.errno not in (errno.EADDRINUSE, errno.EACCES)
    return True


def published(addresses: Iterable[str], port: int = PORT) -> str | None:
    """Return the rule by which a container engine leads the port of one of the addresses to a container; None without.

    Engines do so with every local address (``addrtype LOCAL``), EC2's included. Only root may look.
    """
    wanted = [ip_address(host) for host in addresses]
    to_it = re.compile(rf"\bdport {port}\b")
    for rule in _rules():
        if not to_it.search(rule) or not _TO_ANOTHER.search(rule) or _ONE_INTERFACE.search(rule):
            continue
        destination = _DESTINATION.search(rule)
        if destination is None or any(_covers(destination[1], host) for host in wanted):
            return " ".join(rule.split())
    return None


def _covers(network: str, host: object) -> bool:
    with suppress(ValueError):
        return host in ip_network(network, strict=False)
    return False


def _rules() -> Iterator[str]:
    """Yield nftables' rules (iptables' too, where they are nftables' underneath) but ours, and old iptables'."""
    with suppress(AddressesError):
        ours = False
        for line in command("nft list ruleset").run().splitlines():
            if line.startswith("table "):
                ours = line.split()[2] in (tables.REDIRECT.name, tables.SOURCE.name, tables.GUARD.name)
            elif not ours:
                yield line
    with suppress(OSError, AddressesError):
        # without this look the program would load the kernel's module
        if "nat" in Path("/proc/net/ip_tables_names").read_text().split():
            yield from command("iptables-legacy-save -t nat").run().splitlines()


def first_unprivileged_port() -> int:
    """Return the port below which only root may listen."""
    with suppress(OSError, ValueError):
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    return 1024
