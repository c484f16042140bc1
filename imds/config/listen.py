"""Addresses to listen on, as the configuration, its rules and the command line write them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imds.config.schema import Listen

if TYPE_CHECKING:
    from pathlib import Path

    from imds.config.document import Node

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - what people may have configured

LONGEST_SOCKET_PATH = 107
"""Bytes; Linux has room for so many (``sun_path``)."""


def parse_listen(url: str) -> Listen:
    """Return one address from ``http://HOST:PORT``.

    Raises:
        ValueError: it is something else; the text says what to write.
    """
    shape = "write http://ADDRESS:PORT, such as http://127.0.0.1:9254"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is not a URL: {shape}") from error
    if (
        parts.scheme != "http"
        or not parts.hostname
        or parts.path not in ("", "/")
        or parts.query
        or "@" in url
        or "#" in url
    ):
        raise ValueError(f"{url!r} is not an address to listen on: {shape}")
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
    try:
        host = str(ip_address(host))
    except ValueError as error:
        raise ValueError(f"{url!r} names no IP address: {shape}") from error
    return Listen(host=host, port=80 if port is None else port)


def read_admin_listen(node: Node | None, listen: tuple[Listen, ...]) -> tuple[Listen | Path, ...]:
    """Return where health and metrics are: one address or a list; nothing that a client of the metadata reaches.

    Args:
        node: the value of ``admin_listen``.
        listen: where the metadata is.
    """
    if node is None:
        return ()
    places: list[Listen | Path] = []
    for item in node.items() if node.is_list else [node]:
        place = _read_admin_place(item)
        if place is None:
            continue
        if place in places:
            item.wrong("stands twice")
        elif isinstance(place, Listen) and place.port and any(_overlap(place, other) for other in listen):
            item.wrong("is an address of listen, where the metadata is: take another port")
        places.append(place)
    return tuple(places)


def _read_admin_place(item: Node) -> Listen | Path | None:
    shape = "http://127.0.0.1:9255, or the path of a unix socket"
    text = item.text(what=shape)
    if text is None:
        return None
    if text.startswith(("/", "~")):
        path = item.path()
        if path is not None and len(str(path).encode()) > LONGEST_SOCKET_PATH:
            item.wrong(f"is longer than a unix socket's path may be ({LONGEST_SOCKET_PATH} bytes)")
            return None
        return path
    try:
        address = parse_listen(text)
    except ValueError:
        item.wrong(f"{text!r} is not {shape}")
        return None
    if not ip_address(address.host).is_loopback:
        item.wrong(f"{text} is not a loopback address: health and metrics are for this host alone; write {shape}")
        return None
    return address


def _overlap(one: Listen, other: Listen) -> bool:
    return one.port == other.port and other.host in (one.host, *EVERYWHERE)
