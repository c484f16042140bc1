"""Posts JSON to an address that people have for it (a webhook), signed where there is a secret for it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import os
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

import aiohttp
from yarl import URL

import imds
from imds.core.errors import NotifyError

if TYPE_CHECKING:
    from pathlib import Path

SIGNATURE, TIMESTAMP = "X-Imds-Signature", "X-Imds-Timestamp"

# The first class that fits counts, so subclasses stand before their parents.
WORDS: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientSSLError, "no TLS connection could be made"),
    (aiohttp.ClientProxyConnectionError, "the proxy cannot be reached"),
    (aiohttp.ClientHttpProxyError, "the proxy did not let us through"),
    (aiohttp.ClientConnectorDNSError, "there is no such host, as far as the name service knows"),
    (aiohttp.ServerDisconnectedError, "it closed the connection without an answer"),
)


async def post(url: str, body: bytes, *, secret: bytes | None, seconds: int, ca_bundle: Path | None) -> None:
    """Post ``body``; whoever calls this bounds how long it takes.

    A redirect is not followed, since it could lead anywhere, and nothing of the answer's body is read.

    Args:
        url: secret; no error repeats more than its host.
        body: JSON.
        secret: signs the request; None signs nothing.
        seconds: since 1970, which are signed too, so that the request cannot be sent again later.
        ca_bundle: certificates to trust besides the system's.

    Raises:
        NotifyError: it was not taken with a status of 2xx.
    """
    headers = {"Content-Type": "application/json", "User-Agent": f"imds/{imds.__version__}"}
    if secret is not None:
        headers |= {TIMESTAMP: str(seconds), SIGNATURE: sign(secret, seconds, body)}
    try:
        tls = await asyncio.to_thread(_tls, ca_bundle) if url.startswith("https:") else False
        connector = aiohttp.TCPConnector(ssl=tls, force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.post(
                URL(url, encoded=True), data=body, headers=headers, allow_redirects=False, proxy=_proxy(url)
            ) as answer,
        ):
            status = answer.status
            answer.close()
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise NotifyError(_words(error)) from None  # the error itself may repeat the URL
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        redirect = (
            ", a redirect, which is not followed"
            if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST
            else ""
        )
        raise NotifyError(f"answered with status {status}{redirect}")


def sign(secret: bytes, seconds: int, body: bytes) -> str:
    """Return the signature of a request: HMAC-SHA256 of its time, a dot and its body."""
    return "sha256=" + hmac.new(secret, b"%d." % seconds + body, hashlib.sha256).hexdigest()


def _tls(ca_bundle: Path | None) -> ssl.SSLContext:
    """Return what trusts the system's certificates and the bundle's; blocks.

    Raises:
        OSError: the bundle cannot be read.
    """
    context = ssl.create_default_context()
    if ca_bundle is not None:
        context.load_verify_locations(ca_bundle)
    return context


def _proxy(url: str) -> str | None:
    """Return the proxy that the environment names for a URL; never one for this host itself."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies_environment()
    if host == "localhost" or _is_loopback(host) or proxy_bypass_environment(host, proxies):
        return None
    return proxies.get(parts.scheme)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _words(error: Exception) -> str:
    """Return what may be shown of an error: nothing that repeats the URL."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "")
        return f"its certificate is not trusted: {why}" if why else "its certificate is not trusted"
    for kind, words in WORDS:
        if isinstance(error, kind):
            return words
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot be reached: {os.strerror(error.errno) if error.errno else 'no connection'}"
    if isinstance(error, OSError):
        return f"{error.strerror or type(error).__name__}" + (f": {error.filename}" if error.filename else "")
    return f"no answer ({type(error).__name__})"
