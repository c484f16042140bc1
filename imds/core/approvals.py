"""What somebody asks for and somebody else has to approve: waiting, approved for a while, taken once."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from imds.core.errors import BadRequestError, NoSuchPathError, RefusedError

if TYPE_CHECKING:
    from datetime import datetime

    from imds.core.clock import Clock

WAITS = timedelta(minutes=15)
"""For so long a request waits for somebody, and an approved one for whoever asked."""

MOST_OF_USER, MOST = 5, 50


class Answer(Enum):
    """What became of a request."""

    WAITING = "waiting"
    APPROVED = "approved"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request.

    Attributes:
        id: eight hexadecimal digits; it opens nothing.
        role: which role.
        uid: who asks.
        user: their name, where it is known.
        instance: that they see.
        reason: as they gave it.
        ttl: for how long.
        approvers: users, and groups as ``%group``, one of whom has to approve.
        at: when it was asked, UTC.
        lapses_elapsed: when nothing becomes of it any more, as ``Clock.elapsed`` counts.
        answer: what became of it.
        by: who approved or denied it.
    """

    id: str
    role: str
    uid: int
    user: str | None
    instance: str
    reason: str
    ttl: timedelta
    approvers: tuple[str, ...]
    at: datetime
    lapses_elapsed: timedelta = timedelta()
    answer: Answer = Answer.WAITING
    by: str = ""

    @property
    def asker(self) -> str:
        """Who asks, for people."""
        return self.user or f"uid {self.uid}"

    def same_as(self, other: Asked) -> bool:
        """Whether the same is asked for by the same."""
        return _gist(self) == _gist(other)


def _gist(one: Asked) -> tuple[object, ...]:
    return one.role, one.uid, one.instance, one.reason, one.ttl, one.approvers


def new_request_id() -> str:
    """Return the id of a new request."""
    return secrets.token_hex(4)


class Approvals:
    """The requests; nothing of them is kept on disk."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._asked: dict[str, Asked] = {}

    def ask(self, asked: Asked) -> Asked:
        """Let a request wait, and return it, or the same one where it waits already.

        Raises:
            BadRequestError: there are too many.
        """
        known = self.find(asked)
        if known is not None:
            return known
        of_user = sum(other.uid == asked.uid for other in self._asked.values())
        if of_user >= MOST_OF_USER or len(self._asked) >= MOST:
            raise BadRequestError("too many requests wait for somebody: wait until they are answered, or have lapsed")
        self._asked[asked.id] = asked = replace(asked, lapses_elapsed=self._clock.elapsed() + WAITS)
        return asked

    def find(self, asked: Asked) -> Asked | None:
        """Return the live request for the same by the same."""
        return next((other for other in self.live() if other.same_as(asked)), None)

    def live(self) -> list[Asked]:
        """Return the requests that have not lapsed, the oldest first."""
        now = self._clock.elapsed()
        self._asked = {key: one for key, one in self._asked.items() if one.lapses_elapsed > now}
        return list(self._asked.values())

    def get(self, request_id: str) -> Asked:
        """Return a request.

        Raises:
            NoSuchPathError: there is none, or it has lapsed.
        """
        self.live()
        if request_id not in self._asked:
            raise NoSuchPathError(f"no request {request_id}, or it has lapsed: imds approve lists those that wait")
        return self._asked[request_id]

    def answer(self, request_id: str, answer: Answer, by: str) -> Asked:
        """Approve or deny a request that waits; an approved one waits for its asker as long again.

        Raises:
            NoSuchPathError: there is none.
            BadRequestError: it was answered before.
        """
        asked = self.get(request_id)
        if asked.answer is not Answer.WAITING:
            raise BadRequestError(f"request {request_id} was {asked.answer.value} by {asked.by} already")
        asked = replace(asked, answer=answer, by=by, lapses_elapsed=self._clock.elapsed() + WAITS)
        self._asked[request_id] = asked
        return asked

    def take(self, wanted: Asked) -> Asked:
        """Return the approved request for exactly what is wanted, which is gone then.

        Raises:
            RefusedError: it was denied, or is not approved (any more).
        """
        asked = self.find(wanted)
        if asked is None or asked.answer is Answer.WAITING:
            raise RefusedError("nobody has approved it, or not lately")
        del self._asked[asked.id]
        if asked.answer is Answer.DENIED:
            raise RefusedError(f"{asked.by} has denied request {asked.id}")
        return asked

    def give_back(self, taken: Asked) -> None:
        """Let an approval that was taken be good until it would have lapsed: nothing came of it."""
        if self.find(taken) is None:
            self._asked[taken.id] = taken

    def forget_all(self) -> None:
        """Forget every request: what it was asked of has changed."""
        self._asked.clear()
