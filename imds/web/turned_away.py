"""Whom the metadata service turned away lately, as far as a person may want to help: what ``imds doctor`` tells of.

A client that knows IMDSv1 only is remembered until it asks for a session token after all; whoever is beyond this host,
until the rules are read again. Refusals that a rule asks for are meant, and not remembered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from imds.core.callers import Place
from imds.core.limits import RateLimit

if TYPE_CHECKING:
    from datetime import datetime

    from imds.core.callers import Caller
    from imds.core.clock import Clock

MOST = 64
"""Clients remembered; the one that was silent longest makes room."""

REMEMBERED = timedelta(days=1)
LOOKS = 1
"""Requests of one user without a token that are looked up in a second, ten times that at once: a flood of them must
cost nobody else."""

TRIES_BOTH = timedelta(seconds=5)
"""A client that tries without a token first asks for one within this time."""


class Why(Enum):
    """What was missing."""

    NO_TOKEN = "no_token"  # noqa: S105 - not one
    HOP_LIMIT = "hop_limit"  # a token, beyond this host
    NO_RULE = "no_rule"  # an instance, beyond this host
    NOT_KNOWN = "not_known"  # a fact that a rule asks for, beyond this host


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """A client that was turned away.

    Attributes:
        why: what was missing.
        caller: who it was, as far as that is known.
        instance: that it sees, None for none.
        last: when, at last.
        count: how often.
    """

    why: Why
    caller: Caller
    instance: str | None
    last: datetime
    count: int = 1


class TurnedAway:
    """A bounded memory of clients."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[tuple[object, ...], Turned] = {}
        self._looks = RateLimit(LOOKS)

    def wants(self, caller: Caller) -> bool:
        """Whether ``caller``, who sent no token, shall be looked up; else ``note`` it as it is."""
        return self._looks.allows(_whose(caller), self._clock.elapsed().total_seconds())

    def note(self, why: Why, caller: Caller, instance: str | None) -> None:
        """Remember that ``caller`` was turned away; where its program is not known, one of the same user counts."""
        if why is not Why.NO_TOKEN and caller.place is not Place.ELSEWHERE:
            return  # of this host's users ``imds explain`` knows more
        now = self._clock.now()
        key: tuple[object, ...] = (why, _whose(caller), _program(caller))
        if why is Why.NO_TOKEN and key[2] is None:
            key = next((other for other in reversed(self._kept) if other[:2] == key[:2]), key)
        before = self._kept.pop(key, None)
        if before is None:
            turned = Turned(why=why, caller=caller, instance=instance, last=now)
        else:
            turned = replace(before, last=now, count=before.count + 1)
        if len(self._kept) >= MOST:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = turned

    def may_know_both(self, caller: Caller) -> bool:
        """Whether a client of the same user was turned away without a token a moment ago."""
        whose, now = _whose(caller), self._clock.now()
        return any(key[:2] == (Why.NO_TOKEN, whose) and _recent(one, now) for key, one in self._kept.items())

    def knows_both(self, caller: Caller) -> None:
        """Forget that ``caller`` asked without a token, since it asks for one."""
        whose, program, now = _whose(caller), _program(caller), self._clock.now()
        for key, one in list(self._kept.items()):
            if key[:2] == (Why.NO_TOKEN, whose) and _recent(one, now) and key[2] in (None, program):
                del self._kept[key]

    def forget(self) -> None:
        """Forget all, the rules being others."""
        self._kept.clear()

    def lately(self) -> list[Turned]:
        """Return who was turned away within a day, the last one last."""
        oldest = self._clock.now() - REMEMBERED
        return [one for one in self._kept.values() if one.last > oldest]


def _whose(caller: Caller) -> int | str:
    return caller.uid if caller.uid is not None else caller.address


def _program(caller: Caller) -> str | None:
    if caller.container is not None:
        return caller.container.name
    program = caller.process.program if caller.process is not None else None
    return program.name if program is not None else None


def _recent(one: Turned, now: datetime) -> bool:
    return abs(now - one.last) < TRIES_BOTH
