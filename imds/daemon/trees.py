"""The metadata of this host's virtual instances, made once and kept until a fact changes."""

from __future__ import annotations

import platform
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from imds.core.errors import CredentialsNotReadyError
from imds.core.roles import parse_role_arn
from imds.metadata import facts, tree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from imds.core.clock import Clock
    from imds.core.instances import Instance
    from imds.core.store import Store

MOST_KEPT = 256


class HostTrees:
    """Gives each instance its tree.

    Attributes:
        launched: when the instances started, UTC.
        region: None until the profile has been read.
        role_arns: configured ARNs by role; they tell the account before AWS does.
    """

    def __init__(self, *, clock: Clock, store: Store) -> None:
        self._store = store
        self._host_id = _host_id()
        self._kept: dict[object, Mapping[str, str]] = {}
        self.launched: datetime = clock.now()
        self.region: str | None = None
        self.role_arns: Mapping[str, str] = {}

    def tree(self, instance: Instance, *, with_role: bool) -> Mapping[str, str]:
        """Return every path below a version that answers with a fixed text.

        Raises:
            CredentialsNotReadyError: the region is not known yet.
        """
        if self.region is None:
            raise CredentialsNotReadyError("the profile that names the region is being read")
        role = instance.role if with_role else None
        account_id = self.account_id(instance.role)
        key = (instance.name, role, account_id, self.region)
        if key not in self._kept:
            known = facts.derive(
                instance=instance.name,
                host_id=self._host_id,
                machine=platform.machine(),
                region=self.region,
                account_id=account_id,
                launched=self.launched,
            )
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[key] = tree.tree(tree.leaves(known), role)
        return self._kept[key]

    def account_id(self, role: str | None) -> str | None:
        """Return the account of a role: by its session, else by its ARN; None while neither is known."""
        state = self._store.state(role) if role is not None else None
        if state is not None and state.credentials is not None:
            return state.credentials.account_id
        arn = parse_role_arn(self.role_arns.get(role or "", ""))
        return arn.account_id if arn is not None else None


def _host_id() -> bytes:
    """Return something that only this host has."""
    with suppress(OSError):
        return Path("/etc/machine-id").read_bytes().strip() or socket.gethostname().encode()
    return socket.gethostname().encode()
