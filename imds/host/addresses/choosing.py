"""Which topology it is to be, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imds.core.addresses import PORT
from imds.host.addresses import AddressesError, Topology, obstacles

if TYPE_CHECKING:
    from imds.host.addresses.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A topology.

    Attributes:
        because: why, for people.
        warning: what speaks against it, where it was asked for all the same.
    """

    topology: Topology
    because: str
    warning: str | None = None


_NEVER_IN_THE_WAY = {
    Topology.FAITHFUL: "a network of their own, one hop away, as on EC2",
    Topology.REDIRECT: "port 80 is led to another port of the daemon's",
}


def choose(asked: Topology | None, kept: Record, addresses: tuple[str, ...], *, for_uid: int) -> Choice:
    """Return what was asked for, else what is there, else *direct* where the daemon can have port 80.

    Args:
        asked: None leaves it to us.
        kept: what is on record.
        addresses: those wanted.
        for_uid: the user who will run the daemon, as far as that is known.

    Raises:
        AddressesError: what was asked for cannot work.
    """
    if asked in _NEVER_IN_THE_WAY:
        return Choice(topology=asked, because=_NEVER_IN_THE_WAY[asked])
    if asked is None and kept.topology is not None and kept.put:
        return Choice(topology=kept.topology, because="as before")
    if (who := obstacles.taken(addresses)) is not None:
        return _taken(asked, who)
    if (rule := obstacles.published(addresses)) is not None:
        return _published(asked, rule)
    return _free(asked, addresses, for_uid)


def _free(asked: Topology | None, addresses: tuple[str, ...], for_uid: int) -> Choice:
    """Return how it is where nobody else has the port."""
    if (who := obstacles.held(addresses)) is not None:
        return Choice(topology=Topology.DIRECT, because=f"{who} listens there already")
    first = obstacles.first_unprivileged_port()
    if asked is None and for_uid != 0 and first > PORT:
        because = f"your programs may not listen on port {PORT} (net.ipv4.ip_unprivileged_port_start is {first})"
        return Choice(topology=Topology.REDIRECT, because=because)
    return Choice(topology=Topology.DIRECT, because=f"the daemon listens on port {PORT} of the addresses")


def _taken(asked: Topology | None, who: str) -> Choice:
    if asked is Topology.DIRECT:
        raise AddressesError(
            f"port {PORT} is taken by {who}, so the daemon cannot listen there: stop that, "
            "or leave --direct out, and port 80 is led to another port"
        )
    return Choice(topology=Topology.REDIRECT, because=f"port {PORT} is taken by {who}")


def _published(asked: Topology | None, rule: str) -> Choice:
    says = f"a container is published on port {PORT} of every address of this host ({rule})"
    if asked is Topology.DIRECT:
        return Choice(topology=asked, because="asked for", warning=f"{says}: clients will get that container")
    return Choice(topology=Topology.REDIRECT, because=says)
