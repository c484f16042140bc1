"""Stand-ins for the edges: a clock that tests move, an issuer that follows a script, credentials to hand out."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from imds.core.credentials import Credentials

START = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)

SECRET_ACCESS_KEY = "neverlogthissecretaccesskey"
SESSION_TOKEN = "neverlogthissessiontoken"
KNOWN_SECRETS = [SECRET_ACCESS_KEY, SESSION_TOKEN]
"""Texts that must never appear in a log, an error, a repr or on a terminal; tests may add theirs."""

_numbers = itertools.count(1)


def credentials(*, now: datetime = START, lifetime: timedelta = timedelta(hours=1), **changes: object) -> Credentials:
    """Return credentials issued at ``now``; each has an access key id of its own."""
    made = Credentials(
        access_key_id=f"ASIA{next(_numbers):016d}",
        secret_access_key=SECRET_ACCESS_KEY,
        session_token=SESSION_TOKEN,
        last_updated=now,
        expiration=now + lifetime,
        account_id="111122223333",
        arn="arn:aws:iam::111122223333:role/app",
    )
    return replace(made, **changes)


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._elapsed = timedelta(days=3)
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    def elapsed(self) -> timedelta:
        return self._elapsed

    def notice(self) -> None:
        self._wake()

    async def sleep_until(self, deadline: datetime) -> None:
        woken = asyncio.get_running_loop().create_future()
        self._sleepers.append((deadline, woken))
        await woken

    async def advance(self, span: timedelta) -> None:
        """Let time pass; everyone who waited for less wakes up and runs."""
        self._now += span
        self._elapsed += span
        self._wake()
        await settle()

    async def step(self, span: timedelta) -> None:
        """Set the wall clock by ``span`` without time passing, as NTP or a person does; sleepers notice."""
        self._now += span
        self._wake(everyone=True)
        await settle()

    @property
    def sleeping_until(self) -> list[datetime]:
        """The deadlines waited for."""
        return sorted(deadline for deadline, future in self._sleepers if not future.done())

    def _wake(self, *, everyone: bool = False) -> None:
        for deadline, future in list(self._sleepers):
            if (everyone or deadline <= self._now) and not future.done():
                future.set_result(None)
        self._sleepers = [(deadline, future) for deadline, future in self._sleepers if not future.done()]


class ScriptedIssuer:
    """Gives one entry of its script a call: credentials, or an error to raise; the last one for ever."""

    def __init__(self, *script: object) -> None:
        self.script = list(script)
        self.calls: list[datetime] = []

    async def issue(self, now: datetime) -> Credentials:
        self.calls.append(now)
        entry = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if callable(entry):
            entry = entry(now)
        if isinstance(entry, BaseException):
            raise entry
        return entry


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)
