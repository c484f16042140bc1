"""Who was given what, last: for the log and for ``imds status``."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from imds.core.callers import Caller
    from imds.core.clock import Clock
    from imds.core.credentials import Credentials

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """The last time a role's credentials were given."""

    at: datetime
    caller: Caller


class Uses:
    """The last use of every role."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self.last: dict[str, Use] = {}
        self._told: dict[str, set[tuple[str, int | None]]] = {}

    def note(self, role: str, credentials: Credentials, caller: Caller) -> None:
        """Note that ``caller`` gets ``credentials`` of ``role``."""
        self.last[role] = Use(at=self._clock.now(), caller=caller)
        given = (credentials.access_key_id, caller.uid)
        if given not in self._told.setdefault(
            role, set()
        ):  # one line a session and user; the last use is in the status
            self._told[role] = {told for told in self._told[role] if told[0] == given[0]} | {given}
            logger.info("role %s (…%s) given to %s", role, credentials.access_key_id[-4:], caller)

    def forget(self, role: str) -> None:
        """Forget a role, or a lease that has ended."""
        self.last.pop(role, None)
        self._told.pop(role, None)
