"""Requests that wait for somebody's approval: who may answer, who may see them, and the record of it."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

from imds.core.approvals import Answer, Approvals, Asked
from imds.core.callers import Caller
from imds.core.errors import NoSuchPathError, RefusedError
from imds.core.leases import scope_of
from imds.core.notices import ASKED, Notice
from imds.core.timestamps import timestamp

if TYPE_CHECKING:
    from imds.daemon import Daemon
    from imds.web.peers import Peer

logger = logging.getLogger(__name__)


class Approving:
    """The verbs for requests."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._approvals = Approvals(clock=daemon.clock)

    def ready(self, peer: Peer, wanted: Asked) -> Asked | None:
        """Return the request that has to be approved first; None where it is approved, or was denied (see ``take``).

        Whoever may answer is told of a new one.

        Raises:
            BadRequestError: too many wait already.
        """
        asked = self._approvals.ask(wanted)
        if asked.answer is not Answer.WAITING:
            return None
        if asked is not wanted and asked.id != wanted.id:
            return asked  # it was asked for before
        self._note("approval asked", asked, peer, f"{asked.asker} asks for {_what(asked)}")
        logger.warning("request %s: %s asks for %s: imds approve %s", asked.id, asked.asker, _what(asked), asked.id)
        self._tell(asked)
        return asked

    def take(self, wanted: Asked) -> Asked:
        """Return the approved request for exactly what is wanted, which is gone then.

        Raises:
            RefusedError: it was denied, or is not approved (any more).
        """
        return self._approvals.take(wanted)

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
        asked = self._approvals.get(request_id)
        why_not = self._why_not(peer, asked)
        if why_not is not None:
            self._note("approval refused", asked, peer, why_not)
            if not _is_own(peer, asked) and not peer.control and not self._is_named(peer, asked):
                raise NoSuchPathError(f"no request {request_id}, or it has lapsed: imds approve lists those that wait")
            raise RefusedError(why_not)
        by = (peer.caller.user if peer.caller is not None else None) or f"uid {peer.uid}"
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
        if peer.caller is None or scope_of(peer.caller) is not None:
            return "what runs in a lease's scope, or is not known, approves nothing"
        if peer.uid == asked.uid:
            return "a request is approved by somebody else than the one who asks"
        if not self._is_named(peer, asked):
            return f"it is approved by one of {', '.join(asked.approvers)}"
        if peer.instance is None or not peer.instance.control:
            return "whoever approves must see an instance with control: true, which keeps their agents from approving"
        return None

    def _is_named(self, peer: Peer, asked: Asked) -> bool:
        caller = peer.caller
        if caller is None:
            return False
        names = {caller.user, *(f"%{group}" for group in caller.groups or ())} - {None}
        return not names.isdisjoint(asked.approvers)

    def _tell(self, asked: Asked) -> None:
        notice = Notice(
            event=ASKED,
            at=asked.at,
            role=asked.role,
            role_arn=None,
            id=asked.id,
            user=asked.asker,
            uid=asked.uid,
            instance=asked.instance,
            reason=asked.reason,
            ends=None,
            because=f"to be approved by {', '.join(asked.approvers)}",
            host=socket.gethostname(),
        )
        role = self._daemon.config.roles.get(asked.role)
        if role is not None and role.break_glass is not None and role.break_glass.notify:
            channels = role.break_glass.notify
            self._daemon.activating.later(self._daemon.notifying.tell(channels, notice, source_of=asked.role))

    def _note(self, decision: str, asked: Asked, peer: Peer, because: str) -> None:
        audit = self._daemon.audit
        if audit is not None:
            audit.note_lease_refusal(
                peer.caller or Caller(address="", uid=peer.uid),
                because=f"request {asked.id}: {because}",
                role=asked.role,
                instance=asked.instance,
                reason=asked.reason,
                decision=decision,
            )


def _is_own(peer: Peer, asked: Asked) -> bool:
    return peer.uid == asked.uid and peer.instance is not None and peer.instance.name == asked.instance


def _what(asked: Asked) -> str:
    return f"role {asked.role} for {asked.ttl}"
