"""What no client of a metadata service sends: the marks of proxies, browsers and DNS rebinding.

Nothing here depends on who is calling; that is the policy's part.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING

from imds.core.addresses import CONTAINER_ADDRESSES, INSTANCE_METADATA_ADDRESSES
from imds.core.errors import BadRequestError, Refusal, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.web.request import Request

NAMES = frozenset({"localhost", "instance-data", "instance-data.ec2.internal"})

LONGEST_HOST = 300
"""Characters; a name has 253 at most."""

REFUSED_HEADERS = {
    "X-Forwarded-For": Refusal.PROXY,
    "Origin": Refusal.BROWSER,
    "Referer": Refusal.BROWSER,
    "Sec-Fetch-Site": Refusal.BROWSER,
}
"""A proxy's mark (EC2 refuses it too) and a browser's. ``Sec-Fetch-Mode`` alone is Node's own ``fetch``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """The checks on a request's head.

    Attributes:
        hosts: further names (lower case) that a ``Host`` header may have, exactly.
    """

    hosts: frozenset[str] = frozenset()

    def check(self, request: Request) -> None:
        """Let a metadata client's request pass.

        Raises:
            RefusedError: a proxy, a browser, or a page that rebinds its name sent it.
            BadRequestError: it is a GET with a body.
        """
        refuse_marks(request.headers)
        for host in (request.headers.get("Host"), request.authority):
            if host and not _is_ours(host[:LONGEST_HOST], request.local_address, self.hosts):
                raise RefusedError(
                    f"Host {host[:80]!r} is not one of ours: DNS rebinding? (see allowed_hosts)", kind=Refusal.HOST
                )
        if request.has_body and request.method != "PUT":
            raise BadRequestError(f"a {request.method} with a body")


def refuse_marks(headers: Mapping[str, str]) -> None:
    """Let pass what has no mark of a proxy or a browser.

    Raises:
        RefusedError: it has one.
    """
    for name, kind in REFUSED_HEADERS.items():
        if name in headers:
            raise RefusedError(f"it has a header {name}", kind=kind)


@lru_cache(maxsize=512)
def _is_ours(host: str, local_address: str, hosts: frozenset[str]) -> bool:
    """Whether a ``Host`` is an address or a name of ours."""
    name = _name_of(host)
    if name == local_address or name in NAMES or name in hosts:
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return (
        address.is_loopback
        or str(address) == local_address
        or str(address) in INSTANCE_METADATA_ADDRESSES
        or str(address) in CONTAINER_ADDRESSES
    )


def _name_of(host: str) -> str:
    """Return the name in a ``Host`` header: old CRT clients send ``::1`` bare, others ``[::1]:80``."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name = host if host.count(":") > 1 else host.partition(":")[0]
    return name.removesuffix(".")
