"""What an instance takes over from the host that it is on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Where the instances are.

    Attributes:
        id: something that only this host has.
        name: its first name.
        interface: by which it reaches the world; None where there is none.
        machine: the processor as ``uname -m`` says it.
        launched: when the instances started, UTC.
    """

    id: bytes
    name: str
    interface: HostInterface | None
    machine: str
    launched: datetime
