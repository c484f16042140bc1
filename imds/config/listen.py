"""Addresses to listen on, as the configuration, its rules and the command line write them."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from imds.config.schema import Listen

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - what people may have configured


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
