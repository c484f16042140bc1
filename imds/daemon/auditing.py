"""Hands what was answered, and to whom, and what becomes of leases, to the audit log."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from imds.core.audit import LeaseRecord, LeaseRefusal, Record
from imds.core.limits import RateLimit

if TYPE_CHECKING:
    from datetime import datetime

    from imds.core.callers import Caller
    from imds.core.clock import Clock
    from imds.core.leases import Lease
    from imds.core.policy import Decision
    from imds.host.audit_log import AuditLog
    from imds.web.answer import Answer
    from imds.web.request import Request

SAME_REFUSAL = 1.0
"""Seconds for which refusals of the same kind are counted in one line."""

FLUSH_AFTER = 5.0
"""Seconds after which what was counted is written, though no line of its kind has followed."""

MOST_LINES = 20
"""Refusals of one caller in a second that have a line of their own, whatever it makes us say of each."""

MOST_KINDS = 4096

DISK_PATIENCE = 10.0
"""Seconds for which an activation waits until its line is on the disk."""

_TOKEN_ID = re.compile(r"(/v2/credentials/[^/]{4})[^/]+")


class Auditing:
    """Records every set of credentials given and every refusal; never waits and never fails a request."""

    def __init__(self, *, log: AuditLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._refused: dict[tuple[object, ...], tuple[float, int]] = {}
        self._untold: dict[tuple[object, ...], tuple[Record, Caller]] = {}
        self._lines = RateLimit(MOST_LINES, burst=1)

    def note(self, request: Request, answer: Answer, caller: Caller, decision: Decision) -> None:
        """Record an answer and to whom it goes."""
        because = answer.because or decision.because
        kind = (request.caller.address, request.caller.uid, caller.container, caller.container_uid, because)
        repeated = 1 if answer.given is not None else self._count(request.caller, kind)
        record = Record(
            at=self._clock.now(),
            given=answer.given,
            because=because,
            instance=decision.instance,
            request=f"{request.method} {_path(request.target)}",
            repeated=repeated or 1,
            fault=answer.fault,
        )
        if repeated is None:
            self._untold[kind] = record, caller
        else:
            self._untold.pop(kind, None)
            self._log.put(record, caller)

    async def run(self) -> None:
        """Write for ever what was counted and nothing has followed."""
        while True:
            await asyncio.sleep(FLUSH_AFTER)
            self.flush()

    def flush(self, *, last: bool = False) -> None:
        """Write what was counted and nothing has followed for a while, or all where we stop."""
        now = self._clock.elapsed().total_seconds()
        for kind, (record, caller) in list(self._untold.items()):
            told, waiting = self._refused[kind]
            due = now - told >= FLUSH_AFTER and self._lines.allows((caller.address, caller.uid), now)
            if last or due:
                del self._untold[kind]
                self._refused[kind] = now, 0
                self._log.put(replace(record, repeated=waiting), caller)

    def note_lease(
        self, decision: str, lease: Lease, caller: Caller, *, because: str, keys_until: datetime | None = None
    ) -> None:
        """Record what becomes of a lease, and by whose doing."""
        record = LeaseRecord(
            at=self._clock.now(), decision=decision, because=because, lease=lease, keys_until=keys_until
        )
        self._log.put(record, caller)

    async def note_first(self, decision: str, lease: Lease, caller: Caller, *, because: str) -> None:
        """Record what is to become of a lease, and return once that is on the disk.

        Raises:
            OSError: it cannot be, or not soon.
        """
        record = LeaseRecord(at=self._clock.now(), decision=decision, because=because, lease=lease)
        async with asyncio.timeout(DISK_PATIENCE):
            await asyncio.wrap_future(self._log.put_synced(record, caller))

    def note_lease_refusal(
        self,
        caller: Caller,
        *,
        because: str,
        role: str | None,
        instance: str | None,
        reason: str,
        decision: str = "lease refused",
    ) -> None:
        """Record that somebody was not given a lease, and AWS was not asked for one; see ``LeaseRefusal``."""
        record = LeaseRefusal(
            at=self._clock.now(), because=because, role=role, instance=instance, reason=reason, decision=decision
        )
        self._log.put(record, caller)

    def _count(self, caller: Caller, kind: tuple[object, ...]) -> int | None:
        """Return how many refusals a line stands for; None where it is counted in a later one."""
        now = self._clock.elapsed().total_seconds()
        if len(self._refused) >= MOST_KINDS:
            self.flush()
            self._refused.clear()
            self._untold.clear()
        told, waiting = self._refused.get(kind, (-SAME_REFUSAL, 0))
        if now - told < SAME_REFUSAL or not self._lines.allows((caller.address, caller.uid), now):
            self._refused[kind] = told, waiting + 1
            return None
        self._refused[kind] = now, 0
        return waiting + 1


def _path(target: str) -> str:
    """Return a request's path as it was sent, without what may hold a secret: a host's password, a query, a token's id.

    Where it is no path at all, nothing of it is told.
    """
    path = target.partition("?")[0].partition("#")[0]
    if not path.startswith("/") or path.startswith("//"):
        return "(no path)"
    return _TOKEN_ID.sub(r"\1…", path)
