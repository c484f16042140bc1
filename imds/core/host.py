"""What an instance takes over from the host that it is on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HostInterface:
    """The network interface by which a host reaches the world.

    Attributes:
        mac: lower case, with colons.
        ipv4: its address.
        prefix_length: of its network.
        ipv6s: its global addresses.
    """

    mac: str
    ipv4: str
    prefix_length: int
    ipv6s: tuple[str, ...] = ()
