"""Opens what the configuration says to listen on, and takes in who waits there when we stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from imds.core.errors import AddressTakenError
from imds.host import listeners
from imds.host.addresses import how_to_bring
from imds.host.listeners import Address

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from imds.config.schema import Listen
    from imds.web.connection import MetadataServer

logger = logging.getLogger(__name__)

ACCEPTED_AT_ONCE = 8
"""asyncio accepts as many in a row as the backlog it is told, before the first of them is counted and another makes
room for it: beyond our limit on open files, where that is low."""


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
    return f"{address.url} answers once this host has the address: {how_to_bring(address.host)}"


async def take_in(
    server: MetadataServer, sockets: list[socket.socket], *, kept: tuple[socket.socket, ...], patience: float
) -> None:
    """Accept who has connected already, within ``patience`` seconds: closing a listening socket would reset them.

    Args:
        server: makes their protocols.
        sockets: that listen.
        kept: those that systemd keeps, and who waits in them, for our successor.
        patience: seconds.
    """
    loop = asyncio.get_running_loop()
    for listener in sockets:
        loop.remove_reader(listener)
        if listener not in kept:
            listeners.stop_arrivals(listener)
    await asyncio.sleep(0)  # whom asyncio has accepted but not yet attached to its server is lost with the server
    deadline = loop.time() + patience
    for listener in sockets:
        if listener in kept:
            continue
        with contextlib.suppress(OSError):  # nobody waits any more, or we have no file left
            while loop.time() < deadline:
                accepted, _ = listener.accept()
                accepted.setblocking(False)
                await loop.connect_accepted_socket(server, accepted)
