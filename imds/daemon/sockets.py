"""Opens what the configuration says to listen on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from imds.core.errors import AddressTakenError
from imds.host import listeners
from imds.host.listeners import Address

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from imds.config.schema import Listen

logger = logging.getLogger(__name__)


def open_sockets(wanted: Iterable[Listen]) -> list[socket.socket]:
    """Return a listening socket for each address; an optional one is left out where it cannot be had.

    Raises:
        AddressTakenError: a required one cannot be had; none stays open.
    """
    opened: list[socket.socket] = []
    try:
        for listen in wanted:
            here = listeners.address_is_here(listen.host)
            if here or listen.required:
                opened += _open(listen, here=here)
    except AddressTakenError:
        for listener in opened:
            listener.close()
        raise
    return opened


def _open(listen: Listen, *, here: bool) -> list[socket.socket]:
    address = Address(listen.host, listen.port)
    try:
        opened = listeners.listen(address)
    except AddressTakenError as error:
        if listen.required:
            raise
        logger.info("not listening on %s", error)
        return []
    if not here:
        logger.warning("%s", missing_address(address))
    return [opened]


def missing_address(address: Address) -> str:
    """Return what to say of an address that this host does not have yet."""
    family, length = ("-6 ", 128) if ":" in address.host else ("", 32)
    return (
        f"{address.url} answers once this host has the address: "
        f"sudo ip {family}address replace {address.host}/{length} dev lo"
    )
