"""EC2's addresses on this host: put there, looked at, and taken away again. Linux, with ``ip`` and ``nft``.

Three topologies. *direct*: the addresses are on ``lo``, and the daemon listens there on port 80. *redirect*: likewise,
and nftables leads port 80 to another port of the daemon's, because port 80 is not to be had. *faithful*: the addresses
are in a network namespace of their own, one hop away, so that they are nobody else's and hops count as on EC2.

``plan`` says what each of them takes, ``seen`` what is there already, ``record`` what we have put there, and ``doing``
does and undoes it.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from imds.core.addresses import (
    CONTAINER_ADDRESSES,
    CONTAINER_CREDENTIALS,
    CONTAINER_CREDENTIALS_6,
    INSTANCE_METADATA,
    INSTANCE_METADATA_6,
)
from imds.core.errors import ImdsError

ALL: Final = (INSTANCE_METADATA, *CONTAINER_CREDENTIALS, INSTANCE_METADATA_6, CONTAINER_CREDENTIALS_6)
"""In the order in which they are put there."""


class Topology(Enum):
    """How clients get from the addresses to the daemon."""

    DIRECT = "direct"
    REDIRECT = "redirect"
    FAITHFUL = "faithful"


def how_to_bring(host: str) -> str:
    """Return the command that gives this host an address."""
    if host not in ALL:
        return f"sudo ip address add {host} dev lo"
    family = " --ipv6" if ":" in host else ""
    return f"sudo imds address up{' --container' if host in CONTAINER_ADDRESSES else ''}{family}"


class AddressesError(ImdsError):
    """The addresses cannot be put there, looked at or taken away; says why, and what to do."""
