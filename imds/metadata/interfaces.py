"""An instance's network interfaces, and ``network/interfaces/macs/MAC/`` of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface
from typing import TYPE_CHECKING

from imds.core.paths import INTERFACES
from imds.metadata import regions
from imds.metadata.ids import made_up, made_up_id

if TYPE_CHECKING:
    from imds.core.host import HostInterface

_VPC_BITS, _SUBNET_BITS = 16, 20
"""Of EC2's default network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One of them.

    Attributes:
        seed: what its ids are made from.
        region: as in ``eu-west-1``.
        mac: lower case, with colons.
        device_number: 0 is the primary one.
        local_ipv4s: private addresses, the first is the main one.
        public_ipv4s: the world's addresses of these, in the same order; may be fewer.
        ipv6s: global addresses.
        subnet_cidr: the network of its addresses.
        vpc_cidr: the network around that one.
        local_hostname: None makes one of the address.
        public_hostname: None makes one of the public address.
        security_groups: names.
    """

    seed: bytes
    region: str
    mac: str
    device_number: int
    local_ipv4s: tuple[str, ...]
    subnet_cidr: str
    vpc_cidr: str
    public_ipv4s: tuple[str, ...] = ()
    ipv6s: tuple[str, ...] = ()
    local_hostname: str | None = None
    public_hostname: str | None = None
    security_groups: tuple[str, ...] = ("default",)

    @property
    def host_name(self) -> str:
        """Its private name."""
        return self.local_hostname or regions.private_hostname(self.local_ipv4s[0], self.region)

    @property
    def public_host_name(self) -> str | None:
        """Its public name, where it has a public address."""
        if self.public_hostname is None and self.public_ipv4s:
            return regions.public_hostname(self.public_ipv4s[0], self.region)
        return self.public_hostname


def primary(host: HostInterface | None, *, seed: bytes, region: str) -> Interface:
    """Return the primary interface: that of the host, else one with a plausible private address."""
    digits = made_up(seed, "primary")
    if host is None:
        address, length = f"172.31.{digits[0]}.{4 + digits[1] % 250}", _SUBNET_BITS
        return _interface(seed, region, mac=made_up_mac(digits), address=address, length=length)
    length = min(max(host.prefix_length, _VPC_BITS), 28)  # what a subnet may have
    return _interface(seed, region, mac=host.mac, address=host.ipv4, length=length, ipv6s=host.ipv6s)


def at(interface: Interface, addresses: tuple[str, ...]) -> Interface:
    """Return an interface with these private addresses, in a network that has the first of them."""
    if IPv4Address(addresses[0]) in IPv4Network(interface.subnet_cidr):
        return replace(interface, local_ipv4s=addresses)
    subnet, vpc = (str(IPv4Interface(f"{addresses[0]}/{bits}").network) for bits in (_SUBNET_BITS, _VPC_BITS))
    return replace(interface, local_ipv4s=addresses, subnet_cidr=subnet, vpc_cidr=vpc)


def further(first: Interface, *, mac: str, number: int) -> Interface:
    """Return another interface in the same network as the ``first``."""
    network = IPv4Interface(first.subnet_cidr).network
    offset = 4 + int.from_bytes(made_up(first.seed, mac)[:4], "big") % max(1, network.num_addresses - 5)
    offset %= network.num_addresses  # one that is smaller than EC2's may be stated
    return Interface(
        seed=first.seed,
        region=first.region,
        mac=mac,
        device_number=number,
        local_ipv4s=(str(network.network_address + offset),),
        subnet_cidr=first.subnet_cidr,
        vpc_cidr=first.vpc_cidr,
        security_groups=first.security_groups,
    )


def made_up_mac(digits: bytes) -> str:
    """Return a MAC of the kind that EC2 gives: of nobody's making."""
    return ":".join(f"{byte:02x}" for byte in (0x0E, *digits[2:7]))


def leaves(interface: Interface, owner_id: str | None) -> dict[str, str]:
    """Return the paths below ``network/interfaces/macs/MAC/``; several values stand in lines."""
    seed, groups = interface.seed, interface.security_groups
    found = {
        "device-number": str(interface.device_number),
        "interface-id": made_up_id("eni", seed, str(interface.device_number)),
        "local-hostname": interface.host_name,
        "local-ipv4s": "\n".join(interface.local_ipv4s),
        "mac": interface.mac,
        "network-card": "0",
        "profile": "default-hvm",
        "security-group-ids": "\n".join(made_up_id("sg", seed, group) for group in groups),
        "security-groups": "\n".join(groups),
        "subnet-id": made_up_id("subnet", seed, interface.subnet_cidr),
        "subnet-ipv4-cidr-block": interface.subnet_cidr,
        "vpc-id": made_up_id("vpc", seed, interface.vpc_cidr),
        "vpc-ipv4-cidr-block": interface.vpc_cidr,
        "vpc-ipv4-cidr-blocks": interface.vpc_cidr,
    }
    if owner_id is not None:
        found["owner-id"] = owner_id
    if interface.public_ipv4s:
        found["public-ipv4s"] = "\n".join(interface.public_ipv4s)
        pairs = zip(interface.public_ipv4s, interface.local_ipv4s, strict=False)
        found |= {f"ipv4-associations/{public}": private for public, private in pairs}
    if (name := interface.public_host_name) is not None:
        found["public-hostname"] = name
    if interface.ipv6s:
        found["ipv6s"] = "\n".join(interface.ipv6s)
        found["subnet-ipv6-cidr-blocks"] = str(IPv6Interface(f"{interface.ipv6s[0]}/64").network)
        found["vpc-ipv6-cidr-blocks"] = str(IPv6Interface(f"{interface.ipv6s[0]}/56").network)
    return {f"{INTERFACES}/{interface.mac}/{name}": text for name, text in found.items()}


def _interface(
    seed: bytes, region: str, *, mac: str, address: str, length: int, ipv6s: tuple[str, ...] = ()
) -> Interface:
    return Interface(
        seed=seed,
        region=region,
        mac=mac,
        device_number=0,
        local_ipv4s=(address,),
        subnet_cidr=str(IPv4Interface(f"{address}/{length}").network),
        vpc_cidr=str(IPv4Interface(f"{address}/{_VPC_BITS}").network),
        ipv6s=ipv6s,
    )
