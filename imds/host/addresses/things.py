"""What we put into this host's network: addresses, nftables' tables, a link, a namespace; how each is removed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from imds.host.addresses.commands import command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.host.addresses.commands import Command


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address with its prefix length, on a device."""

    address: str
    device: str = "lo"

    def __str__(self) -> str:
        return f"{self.host} on {self.device}"

    @property
    def host(self) -> str:
        """The address alone."""
        return self.address.partition("/")[0]

    def removal(self) -> Command:
        """Return what takes it away."""
        return command(f"ip address del {self.address} dev {self.device}")


@dataclass(frozen=True, slots=True)
class Table:
    """A table of nftables, of the family ``inet``."""

    name: str

    def __str__(self) -> str:
        return f"nftables' table inet {self.name}"

    def removal(self) -> Command:
        """Return what takes it away."""
        return command(f"nft delete table inet {self.name}")


@dataclass(frozen=True, slots=True)
class Link:
    """A pair of virtual interfaces, by the name of its end on this side."""

    name: str

    def __str__(self) -> str:
        return f"the link {self.name}"

    def removal(self) -> Command:
        """Return what takes it away, both ends and the addresses and routes on it."""
        return command(f"ip link delete {self.name}")


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace, as ``ip netns`` names it."""

    name: str

    def __str__(self) -> str:
        return f"the network namespace {self.name}"

    def removal(self) -> Command:
        """Return what takes it away; what is in it goes once nobody has a socket there."""
        return command(f"ip netns delete {self.name}")


Thing = Address | Table | Link | Namespace
_KINDS: dict[str, type[Thing]] = {"address": Address, "table": Table, "link": Link, "namespace": Namespace}


def to_json(thing: Thing) -> dict[str, Any]:
    """Return a thing as the record has it."""
    return {"kind": next(kind for kind, made in _KINDS.items() if isinstance(thing, made)), **asdict(thing)}


def from_json(fields: Mapping[str, Any]) -> Thing:
    """Return the thing that the record tells of.

    Raises:
        ValueError: it is none.
    """
    values = {name: value for name, value in fields.items() if name != "kind"}
    made = _KINDS.get(fields.get("kind", ""))
    if made is None or not all(isinstance(value, str) for value in values.values()):
        raise ValueError("no such thing")
    try:
        return made(**values)
    except TypeError as error:
        raise ValueError("no such thing") from error
