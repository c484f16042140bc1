"""The network interfaces of this host, and the one by which it reaches the world (the default route). Linux only."""

from __future__ import annotations

import fcntl
import re
import socket
import struct
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from imds.core.host import HostInterface

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIOCGIFADDR, _SIOCGIFNETMASK = 0x8915, 0x891B
_MAC = re.compile(r"(?!00:00:00:00:00:00)[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_NETWORK = Path("/proc/thread-self/net")
_GLOBAL, _TEMPORARY = "00", 0x01
"""Of ``/proc/net/if_inet6``: the scope of addresses that the world knows; a privacy address, gone within hours."""


def primary_interface() -> HostInterface | None:
    """Return it; None where there is none, or this system does not tell."""
    with suppress(OSError, ValueError):
        name = _default_route()
        mac = Path("/sys/class/net", name, "address").read_text().strip() if name else ""
        if name and _MAC.fullmatch(mac):
            address, mask = (_address(name, what) for what in (_SIOCGIFADDR, _SIOCGIFNETMASK))
            length = IPv4Network(f"{address}/{mask}", strict=False).prefixlen
            return HostInterface(mac=mac, ipv4=str(address), prefix_length=length, ipv6s=_ipv6s(name))
    return None


def has_address(host: str) -> bool:
    """Whether an IP address is on an interface of this host, and so nothing that is sent there leaves it.

    Binding to it says less: that may be allowed for addresses of others (``ip_nonlocal_bind``).
    """
    address = ip_address(host)
    if address.is_loopback:
        return True
    with suppress(OSError):
        if isinstance(address, IPv6Address):
            lines = (_NETWORK / "if_inet6").read_text().splitlines()
            return any(bytes.fromhex(line.split()[0]) == address.packed for line in lines)
        leaf = ""
        for line in (_NETWORK / "fib_trie").read_text().splitlines():
            marker, _, rest = line.strip().partition(" ")
            if marker == "|--":
                leaf = rest
            elif leaf == host and line.strip() == "/32 host LOCAL":
                return True
    return False


def is_behind(host: str, link: str) -> bool:
    """Whether the route to an IP address is one that leads straight into a link of this host."""
    address = ip_address(host)
    routes = _routes_6() if isinstance(address, IPv6Address) else _routes()
    with suppress(OSError, ValueError):
        return max((network.prefixlen, device == link) for network, device in routes if address in network)[1]
    return False


def _routes() -> Iterator[tuple[IPv4Network | IPv6Network, str]]:
    """Yield destinations and their devices; none for what goes by a router."""
    for line in (_NETWORK / "route").read_text().splitlines()[1:]:
        device, destination, gateway, _, _, _, _, mask, *_ = line.split()
        start, length = IPv4Address(_word(destination)), _word(mask).bit_count()
        yield IPv4Network((start, length)), device if not int(gateway, 16) else ""


def _routes_6() -> Iterator[tuple[IPv4Network | IPv6Network, str]]:
    for line in (_NETWORK / "ipv6_route").read_text().splitlines():
        destination, length, _, _, gateway, *_, device = line.split()
        network = IPv6Network((IPv6Address(int(destination, 16)), int(length, 16)), strict=False)
        yield network, device if not int(gateway, 16) else ""


def _word(digits: str) -> int:
    """Return a number that the kernel prints as this machine has it in memory, in the network's order."""
    return socket.ntohl(int(digits, 16))


def _default_route() -> str | None:
    """Return the interface of the default route that the kernel prefers."""
    routes = [line.split() for line in Path("/proc/net/route").read_text().splitlines()[1:]]
    defaults = [(int(route[6]), route[0]) for route in routes if route[1] == route[7] == "00000000"]
    return min(defaults)[1] if defaults else None


def _address(name: str, what: int) -> IPv4Address:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        answer = fcntl.ioctl(asking, what, struct.pack("256s", name.encode()))
    return IPv4Address(answer[20:24])


def _ipv6s(name: str) -> tuple[str, ...]:
    """Return its lasting global addresses."""
    found = []
    with suppress(OSError):  # a kernel without IPv6
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            digits, _, _, scope, flags, interface = line.split()
            if interface == name and scope == _GLOBAL and not int(flags, 16) & _TEMPORARY:
                found.append(str(IPv6Address(bytes.fromhex(digits))))
    return tuple(found)
