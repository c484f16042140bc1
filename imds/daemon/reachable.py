"""What somebody may have, and where they can fetch it as container credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imds.core.addresses import CONTAINER_ADDRESSES
from imds.core.errors import BadRequestError, NoSuchPathError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imds.core.instances import Instance
    from imds.host.listeners import Address


def role_of(instance: Instance | None, role: str | None) -> tuple[Instance, str]:
    """Return an instance and its role of that name, the default one for None.

    Raises:
        RequestError: there is no instance, or it does not allow this role.
    """
    if instance is None:
        raise RefusedError("no rule of callers gives you an instance")
    role = role or instance.role
    if role is None:
        raise NoSuchPathError("your instance has no default role: name one")
    if role not in instance.roles:
        known = ", ".join(sorted(instance.roles)) or "none"
        raise NoSuchPathError(f"role {role} is not one of yours; there are: {known}")
    return instance, role


def container_url(addresses: Iterable[Address], *, elsewhere: bool = False) -> str:
    """Return an address that every SDK accepts for container credentials over plain HTTP.

    Args:
        addresses: where we listen.
        elsewhere: whether it must be one that containers with a network of their own reach.

    Raises:
        BadRequestError: we listen on none.
    """
    beyond = [address for address in addresses if address.host in CONTAINER_ADDRESSES]
    if elsewhere:
        if not beyond:
            raise BadRequestError(
                "SDKs in a container take container credentials from 169.254.170.2 only, and the daemon does not "
                "listen there: add http://169.254.170.2:80 to listen"
            )
        return beyond[0].url
    usable = [*(one for one in addresses if one.host == "::1" or one.host.startswith("127.")), *beyond]
    if not usable:
        raise BadRequestError(
            "SDKs take container credentials from a loopback address or 169.254.170.2 only, and the daemon listens "
            "on neither: add http://127.0.0.1:9254 to listen"
        )
    return min(usable, key=lambda address: address.host != "127.0.0.1").url
