"""Requests that wait for somebody's approval: who may answer, who may see them, and the record of it."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from imds.core.approvals import Answer, Approvals, Asked
from imds.core.errors import BadRequestError, NoSuchPathError, RefusedError
from imds.core.leases import scope_of
from imds.core.limits import RateLimit
from imds.core.timestamps import timestamp

if TYPE_CHECKING:
    from imds.daemon import Daemon
    from imds.web.peers import Peer

logger = logging.getLogger(__name__)

ANSWERED_A_SECOND, AT_ONCE = 1, 10
"""Of one user; each is on record, refused or not."""


class Approving:
    """The verbs for requests."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._approvals = Approvals(clock=daemon.clock)
        self._answered = RateLimit(ANSWERED_A_SECOND, burst=AT_ONCE)

    def ready(self, peer: Peer, wanted: Asked) -> Asked | None:
        """Return the request that has to be approved first; None where it is approved.

        Whoever may answer is told of a new one.

        Raises:
            BadRequestError: too many wait already.
            RefusedError: it was denied.
        """
        asked = self._approvals.ask(wanted)
        if asked.answer is Answer.DENIED:
            self._approvals.take(asked)
        if asked.answer is not Answer.WAITING:
            return None
        if asked.id != wanted.id:
            return asked  # it was asked for before
        self._note("approval asked", asked, peer, f"{asked.asker} asks for {_what(asked)}")
        logger.warning("request %s: %s asks for %s: imds approve %s", asked.id, asked.asker, _what(asked), asked.id)
        self._daemon.telling.asked(asked)
        return asked

    def take(self, wanted: Asked) -> Asked:
        """Return the approved request for exactly what is wanted, which is gone then.

        Raises:
            RefusedError: it was denied, or is not approved (any more).
        """
        return self._approvals.take(wanted)

    def give_back(self, taken: Asked) -> None:
        """Let an approval that was taken be good again: nothing came of it."""
        self._approvals.give_back(taken)

    def seen_by(self, peer: Peer) -> list[dict[str, Any]]:
        """Return the requests that a peer may answer, and its own."""
        return [
            self.told(asked) | {"yours_to_answer": self._why_not(peer, asked) is None}
            for asked in self._approvals.live()
            if _is_own(peer, asked) or self._why_not(peer, asked) is None
        ]

    def answer(self, peer: Peer, request_id: str, *, approve: bool) -> dict[str, Any]:
        """Approve or deny a request.

        Raises:
            RequestError: there is none, or it is not the peer's to answer.
        """
        if not self._answered.allows(peer.uid, self._daemon.clock.elapsed().total_seconds()):
            raise BadRequestError("you answer too often: try again in a moment")
        asked = self._approvals.get(request_id)
        why_not = self._why_not(peer, asked)
        if why_not is not None:
            self._note("approval refused", asked, peer, why_not)
            if not _is_own(peer, asked) and not peer.control and not self._is_named(peer, asked):
                raise NoSuchPathError(f"no request {request_id}, or it has lapsed: imds approve lists those that wait")
            raise RefusedError(why_not)
        by = peer.who.user or f"uid {peer.uid}"
        asked = self._approvals.answer(request_id, Answer.APPROVED if approve else Answer.DENIED, by)
        self._note(asked.answer.value, asked, peer, f"{by} has {asked.answer.value} {_what(asked)} for {asked.asker}")
        return self.told(asked)

    def after_reload(self) -> None:
        """Forget what was asked under other rules."""
        self._approvals.forget_all()

    def told(self, asked: Asked) -> dict[str, Any]:
        """Return what people and programs may know of a request."""
        left = asked.lapses_elapsed - self._daemon.clock.elapsed()
        return {
            "id": asked.id,
            "role": asked.role,
            "uid": asked.uid,
            "user": asked.user,
            "instance": asked.instance,
            "reason": asked.reason,
            "ttl_seconds": int(asked.ttl.total_seconds()),
            "approvers": list(asked.approvers),
            "asked": timestamp(asked.at),
            "lapses_in_seconds": max(0, int(left.total_seconds())),
            "answer": asked.answer.value,
            "by": asked.by,
        }

    def _why_not(self, peer: Peer, asked: Asked) -> str | None:
        """Return why a peer may not answer a request; None where it may.

        Somebody else than the one that asks has to, a user of the list. An agent of theirs must not do: it sees an
        instance without ``control``, or runs in a lease's scope.
        """
        if may_be_in_a_lease(peer):
            return "what runs in a lease's scope, or is not known, approves nothing"
        if peer.uid == asked.uid:
            return "a request is approved by somebody else than the one who asks"
        if not self._is_named(peer, asked):
            return f"it is approved by one of {', '.join(asked.approvers)}"
        if peer.instance is None or not peer.instance.control:
            return "whoever approves must see an instance with control: true, which keeps their agents from approving"
        return None

    def _is_named(self, peer: Peer, asked: Asked) -> bool:
        caller = peer.who
        names = {caller.user, *(f"%{group}" for group in caller.groups or ())} - {None}
        return not names.isdisjoint(asked.approvers)

    def _note(self, decision: str, asked: Asked, peer: Peer, because: str) -> None:
        audit = self._daemon.audit
        if audit is not None:
            audit.note_lease_refusal(
                peer.who,
                because=f"request {asked.id}: {because}",
                role=asked.role,
                instance=asked.instance,
                reason=asked.reason,
                decision=decision,
            )


def may_be_in_a_lease(peer: Peer) -> bool:
    """Whether a peer runs in a lease's scope, or whether that cannot be told: what connected has ended since."""
    if peer.caller is None or scope_of(peer.caller) is not None:
        return True
    return sys.platform == "linux" and peer.caller.process is None and peer.caller.cgroup is None


def _is_own(peer: Peer, asked: Asked) -> bool:
    return peer.uid == asked.uid and peer.instance is not None and peer.instance.name == asked.instance


def _what(asked: Asked) -> str:
    return f"role {asked.role} for {asked.ttl}"
