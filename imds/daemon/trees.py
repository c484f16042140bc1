"""The metadata of this host's virtual instances, made once and kept until something changes."""

from __future__ import annotations

import platform
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from imds.core.errors import CredentialsNotReadyError
from imds.core.host import Host
from imds.core.paths import (
    IAM_INFO,
    IDENTITY_DOCUMENT,
    IDENTITY_ROLE,
    IDENTITY_SECURITY_CREDENTIALS,
    SECURITY_CREDENTIALS,
    USER_DATA,
    is_below,
)
from imds.core.roles import parse_role_arn
from imds.host.interfaces import primary_interface
from imds.metadata.instance import texts
from imds.metadata.tree import tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from imds.core.clock import Clock
    from imds.core.instances import Instance
    from imds.core.simulation import Simulations
    from imds.core.store import Store
    from imds.daemon.signing import Signing

MOST_KEPT = 1024


class HostTrees:
    """Gives each instance its tree.

    Attributes:
        launched: when the instances started, UTC.
        region: None until the profile has been read.
        role_arns: configured ARNs by role; they tell the account before AWS does.
    """

    def __init__(self, *, clock: Clock, store: Store, simulations: Simulations, signing: Signing) -> None:
        self._clock = clock
        self._store = store
        self._simulations = simulations
        self._signing = signing
        self._kept: dict[tuple[str, bool, bool], tuple[tuple[object, ...], Mapping[str, str]]] = {}
        self.launched: datetime = clock.now()
        self._host = Host(
            id=_host_id(),
            name=socket.gethostname().partition(".")[0],
            interface=primary_interface(),
            machine=platform.machine(),
            launched=self.launched,
        )
        self.region: str | None = None
        self.role_arns: Mapping[str, str] = {}

    def tree(self, instance: Instance, *, with_role: bool, with_identity: bool) -> Mapping[str, str]:
        """Return every path below a version that answers with a fixed text.

        Raises:
            CredentialsNotReadyError: the region is not known yet.
        """
        if self.region is None:
            raise CredentialsNotReadyError("the profile that names the region is being read")
        account_id = self.account_id(instance.account_role)
        simulated = self._simulations.at(instance.name, self._clock.now())
        key = (instance.name, with_role, with_identity)
        made_of = (instance, account_id, self.region, simulated, self._signing.changes)
        kept = self._kept.get(key)
        if kept is not None and kept[0] == made_of:
            return kept[1]
        found = texts(instance, host=self._host, region=self.region, account_id=account_id, simulated=simulated)
        if (document := found.get(IDENTITY_DOCUMENT)) is not None:
            stated = instance.overlay.texts
            for path, text in self._signing.signatures(document).items():
                if not any(is_below(other, path) for other in stated):
                    found[path] = text
        made = tree(found, _named(instance, with_role=with_role, with_identity=with_identity))
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[key] = made_of, made
        return made

    def account_id(self, role: str | None) -> str | None:
        """Return the account of a role: by its session, else by its ARN; None while neither is known."""
        state = self._store.state(role) if role is not None else None
        if state is not None and state.credentials is not None:
            return state.credentials.account_id
        arn = parse_role_arn(self.role_arns.get(role or "", ""))
        return arn.account_id if arn is not None else None


def _named(instance: Instance, *, with_role: bool, with_identity: bool) -> Iterable[str]:
    """Yield the paths that the listings name although their text is not fixed.

    ``security-credentials-extended`` answers too, but EC2 lists it nowhere, and a crawler that leaves credentials out
    (cloud-init) knows the other names only.
    """
    if with_role and instance.role is not None:
        yield from (IAM_INFO, f"{SECURITY_CREDENTIALS}/{instance.role}")
    if with_identity and instance.identity_role is not None:
        yield f"{IDENTITY_SECURITY_CREDENTIALS}/{IDENTITY_ROLE}"
    if instance.overlay.user_data is not None:
        yield USER_DATA


def _host_id() -> bytes:
    """Return something that only this host has."""
    with suppress(OSError):
        return Path("/etc/machine-id").read_bytes().strip() or socket.gethostname().encode()
    return socket.gethostname().encode()
