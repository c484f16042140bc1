"""Who was given what lately: for ``imds status``."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from imds.core.callers import Caller
    from imds.core.clock import Clock

MOST_KEPT = 50


@dataclass(slots=True, kw_only=True)
class Recent:
    """Credentials of one role that one caller was given.

    Attributes:
        role: its name.
        caller: who asked, as far as it was known.
        at: the last time, UTC.
        count: how often.
    """

    role: str
    caller: Caller
    at: datetime
    count: int = 1


class RecentCallers:
    """The last callers; the same one with the same role stands once."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[object, Recent] = OrderedDict()

    def note(self, caller: Caller, role: str) -> None:
        """Note that ``caller`` was given credentials of ``role``."""
        process, container = caller.process, caller.container
        program = process.program.exe or process.program.command if process else None
        key = (role, caller.uid, caller.address, program, container.id if container else None)
        known = self._kept.pop(key, None)
        if known is None:
            known = Recent(role=role, caller=caller, at=self._clock.now())
        else:
            known.at, known.count, known.caller = self._clock.now(), known.count + 1, caller
        self._kept[key] = known
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def newest_first(self) -> list[Recent]:
        """Return them."""
        return list(reversed(self._kept.values()))
