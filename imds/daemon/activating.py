"""What becomes of break-glass roles: asked for, maybe approved, told and recorded, given, ended.

The order is the point: the line in the audit log is on the disk and everybody has been told before AWS is asked.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from imds.core.approvals import Asked, new_request_id
from imds.core.callers import Caller
from imds.core.errors import BadRequestError, ConfigError, ImdsError, RefusedError, RequestError
from imds.core.leases import Lease, new_id, scope_of
from imds.core.limits import RateLimit
from imds.core.notices import WAITING, Notice
from imds.core.timestamps import timestamp
from imds.daemon.lease_sessions import activation_session
from imds.daemon.notifying import failed
from imds.daemon.reachable import role_of

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from imds.config.break_glass import BreakGlass
    from imds.config.schema import Role
    from imds.core.instances import Instance
    from imds.core.leases import EndedLease
    from imds.daemon import Daemon
    from imds.web.activations import ActivationRequest
    from imds.web.peers import Peer

logger = logging.getLogger(__name__)

ASKED_A_SECOND, AT_ONCE = 1, 10
LAST_WORDS = 5.0
"""Seconds for which we wait, when we stop, until everybody has been told what that ends."""


class Activating:
    """The verbs for break-glass roles, and what ends their activations."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._begun: set[tuple[str, int, str]] = set()
        self._telling: set[asyncio.Task[object]] = set()
        self._asked = RateLimit(ASKED_A_SECOND, burst=AT_ONCE)
        self._left = daemon.kept.activations()
        daemon.leasing.after_end = self._after_end

    async def activate(self, peer: Peer, asked: ActivationRequest) -> dict[str, Any]:
        """Give a role to whoever asks, or say what it takes: ``needs`` is ``approval`` or ``code`` then.

        Raises:
            RequestError: the peer may not have it.
            CredentialsError: AWS does not give its session.
        """
        if not self._asked.allows(peer.uid, self._daemon.clock.elapsed().total_seconds()):
            raise BadRequestError("you ask too often: try again in a moment")
        try:
            instance, name, guard = self._allowed(peer, asked)
        except RequestError as error:
            self._note_refusal(peer, asked, error)
            raise
        wanted = self._wanted(peer, asked, instance, name, guard)
        with self._alone(name, peer.uid, instance.name):
            waits = self._daemon.approving.ready(peer, wanted) if guard.approvers else None
            if waits is not None:
                return {"needs": "approval", "request": self._daemon.approving.told(waits)}
            if guard.mfa and asked.code is None:
                return {"needs": "code", "role": name}
            approved = self._daemon.approving.take(wanted) if guard.approvers else None
            return await self._begin(peer, asked, wanted, approved)

    def deactivate(self, peer: Peer, role: str) -> dict[str, Any]:
        """End a peer's activation of a role, or anybody's where the peer controls the daemon.

        Raises:
            RequestError: there is none.
        """
        leasing = self._daemon.leasing
        mine = [one for one in leasing.leases.live() if one.activation and one.role == role]
        if not peer.control:
            instance = peer.instance.name if peer.instance is not None else None
            mine = [one for one in mine if (one.owner, one.instance) == (peer.uid, instance)]
        if not mine:
            raise BadRequestError(f"role {role} is not active")
        ended = [leasing.revoke(peer, one.id) for one in mine]
        return {"ended": ended}

    async def resume(self) -> None:
        """Tell and record the end of what was active when an earlier daemon was killed: nothing of it lives on."""
        left, self._left = self._left, []
        for lease in left:
            why = "the daemon that gave it has ended without a word"
            caller = Caller(address="", uid=lease.owner, user=lease.user)
            if self._daemon.audit is not None:
                self._daemon.audit.note_lease("activation ended", lease, caller, because=why)
            self._tell_later("ended", lease, why)
        if left:
            await self._keep()

    async def settle(self) -> None:
        """Wait until everybody has been told what has ended, but not for ever."""
        if self._telling:
            await asyncio.wait(self._telling, timeout=LAST_WORDS)

    def _allowed(self, peer: Peer, asked: ActivationRequest) -> tuple[Instance, str, BreakGlass]:
        """Return for which instance, role and by which terms a peer may ask.

        Raises:
            RequestError: for none.
        """
        instance, name = role_of(peer.instance, asked.role)
        guard = self._daemon.config.roles[name].break_glass
        if guard is None:
            raise BadRequestError(f"role {name} is no break-glass role: it is simply there (imds exec {name})")
        if peer.caller is not None and scope_of(peer.caller) is not None:
            raise RefusedError("what runs in a lease's scope activates nothing")
        if not guard.accepts(asked.reason):
            raise BadRequestError(f"the reason for role {name} must match {guard.reason}")
        if asked.ttl is not None and asked.ttl > guard.max_ttl:
            raise BadRequestError(f"role {name} is given for {guard.max_ttl} at most")
        active = self._daemon.leasing.leases.activation(name, peer.uid, instance.name)
        if active is not None:
            raise BadRequestError(
                f"role {name} is active until {timestamp(active.ends)} already: imds deactivate {name} ends it"
            )
        if (name, peer.uid, instance.name) in self._begun:
            raise BadRequestError(f"role {name} is being activated at this moment")
        if self._daemon.audit is None:
            raise BadRequestError(f"role {name} needs an audit log, and this daemon keeps none")
        return instance, name, guard

    @contextmanager
    def _alone(self, *whose: Any) -> Iterator[None]:  # noqa: ANN401 - role, uid, instance
        """Keep a second activation of the same away meanwhile."""
        self._begun.add(whose)
        try:
            yield
        finally:
            self._begun.discard(whose)

    def _wanted(self, peer: Peer, asked: ActivationRequest, instance: Instance, name: str, guard: BreakGlass) -> Asked:
        return Asked(
            id=new_request_id(),
            role=name,
            uid=peer.uid,
            user=peer.caller.user if peer.caller is not None else None,
            instance=instance.name,
            reason=asked.reason,
            ttl=asked.ttl or guard.ttl,
            approvers=guard.approvers,
            at=self._daemon.clock.now(),
        )

    async def _begin(
        self, peer: Peer, asked: ActivationRequest, wanted: Asked, approved: Asked | None
    ) -> dict[str, Any]:
        role = self._daemon.config.roles[wanted.role]
        lease, session = self._lease(wanted, role)
        caller, audit = peer.caller or Caller(address="", uid=peer.uid), self._daemon.audit
        by = f"; approved by {approved.by} (request {approved.id})" if approved is not None else ""
        if audit is None:
            raise BadRequestError("there is no audit log")
        try:
            await audit.note_first("activating", lease, caller, because=f"asked for by {wanted.asker}{by}")
        except (OSError, TimeoutError) as error:
            why = str(error) or "the disk does not answer"
            raise RefusedError(f"it cannot be recorded, so nothing is given: {why}") from error
        told = False
        try:
            told, because = await self._told(lease, role, by)
            await self._open(lease, session, role, asked.code)
        except BaseException as error:
            why = str(error) or type(error).__name__
            audit.note_lease("activation refused", lease, caller, because=why)
            if told:
                self._tell_later("refused", lease, why)
            if not isinstance(error, ImdsError | asyncio.CancelledError):
                logger.exception("unexpected failure of an activation")
            raise
        audit.note_lease("activated", lease, caller, because=because)
        logger.warning("role %s is active for %s until %s", lease.role, wanted.asker, timestamp(lease.ends))
        return self._daemon.leasing.told(lease) | {"region": self._daemon.trees.region, "told": because}

    def _lease(self, wanted: Asked, role: Role) -> tuple[Lease, Any]:
        """Return the activation as it will be, and what is asked of STS."""
        lease_id, clock = new_id(), self._daemon.clock
        stamped = wanted.user or f"uid-{wanted.uid}"
        session = activation_session(wanted.role, role, lease_id=lease_id, reason=wanted.reason, user=stamped)
        began = clock.now()
        lease = Lease(
            id=lease_id,
            role=wanted.role,
            role_arn=session.role_arn,
            instance=wanted.instance,
            uid=wanted.uid,
            owner=wanted.uid,
            user=wanted.user,
            reason=wanted.reason,
            narrowed="",
            session_name=session.role_session_name,
            began=began,
            ends=began + wanted.ttl,
            ends_elapsed=clock.elapsed() + wanted.ttl,
            held=False,
            activation=True,
        )
        return lease, session

    async def _told(self, lease: Lease, role: Role, by: str) -> tuple[bool, str]:
        """Tell everybody; return that somebody may know of it now, and who.

        Raises:
            RefusedError: somebody could not be told who must be.
        """
        guard = role.break_glass
        if guard is None or not guard.notify:
            return False, f"nobody is to be told{by}"
        notice = self._notice("activated", lease, by.removeprefix("; "))
        outcomes = await self._daemon.notifying.tell(guard.notify, notice, source_of=lease.role)
        reached_any = any(one.ok for one in outcomes)
        wrong = failed(outcomes) if reached_any else outcomes
        if wrong and guard.refuse_untold:
            if reached_any:
                self._tell_later("refused", lease, "not everybody could be told")
            untold = "; ".join(f"{one.channel}: {one.error}" for one in wrong)
            raise RefusedError(f"not everybody could be told, so nothing is given: {untold}")
        reached = ", ".join(one.channel for one in outcomes if one.ok) or "nobody"
        missed = ", ".join(one.channel for one in outcomes if not one.ok)
        return True, f"told: {reached}" + (f"; not told: {missed}" if missed else "") + by

    async def _open(self, lease: Lease, session: Any, role: Role, code: str | None) -> None:  # noqa: ANN401 - as above
        """Get the session.

        Raises:
            RequestError: the configuration has changed meanwhile, or there are too many.
            CredentialsError: AWS does not give it.
        """
        daemon = self._daemon
        if code is not None:
            await daemon.mfa.give(lease.role, code)
        if daemon.config.roles.get(lease.role) != role or lease.role not in _roles_of(daemon, lease.instance):
            raise RefusedError("the configuration has changed meanwhile: ask again")
        daemon.leasing.leases.add(lease)
        try:
            await self._keep()
            await daemon.leasing.open(lease, session)
        except BaseException:
            daemon.leasing.forget(lease)
            await self._keep()
            raise

    async def _keep(self) -> None:
        """Leave word of what is active, for the daemon after us."""
        live = [one for one in self._daemon.leasing.leases.live() if one.activation]
        try:
            await asyncio.to_thread(self._daemon.kept.keep_activations, live)
        except ConfigError as error:
            logger.warning("the end of an activation is not told after a crash: %s", error)

    def _after_end(self, ended: EndedLease) -> None:
        if not ended.lease.activation:
            return
        until = f"; keys that were given work until {timestamp(ended.keys_until)}" if ended.keys_until else ""
        self._tell_later("ended", ended.lease, f"{ended.why}{until}")
        self.later(self._keep())

    def _notice(self, event: str, lease: Lease, because: str) -> Notice:
        return Notice(
            event=event,
            at=self._daemon.clock.now(),
            role=lease.role,
            role_arn=lease.role_arn,
            id=lease.id,
            user=lease.user or f"uid {lease.owner}",
            uid=lease.owner,
            instance=lease.instance,
            reason=lease.reason,
            ends=lease.ends,
            because=because,
            host=socket.gethostname(),
        )

    def _tell_later(self, event: str, lease: Lease, because: str) -> None:
        """Tell who was told before; that somebody cannot be told changes nothing any more."""
        role = self._daemon.config.roles.get(lease.role)
        if role is not None and role.break_glass is not None and role.break_glass.notify:
            notice = self._notice(event, lease, because)
            self.later(self._daemon.notifying.tell(role.break_glass.notify, notice, source_of=lease.role))

    def tell_waiting(self, roles: tuple[str, ...], what: str) -> None:
        """Tell who is named in ``notify`` that roles wait for a person, and for what."""
        channels = self._daemon.config.notify
        if channels:
            notice = Notice(
                event=WAITING,
                at=self._daemon.clock.now(),
                role=roles[0],
                user=f"uid {self._daemon.uid}",
                uid=self._daemon.uid,
                because=what if len(roles) == 1 else f"{what} (for {', '.join(roles)})",
                host=socket.gethostname(),
            )
            self.later(self._daemon.notifying.tell(channels, notice))

    def later(self, work: Coroutine[Any, Any, object]) -> None:
        """Do what nobody waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def _note_refusal(self, peer: Peer, asked: ActivationRequest, error: RequestError) -> None:
        audit = self._daemon.audit
        if audit is not None:
            audit.note_lease_refusal(
                peer.caller or Caller(address="", uid=peer.uid),
                because=str(error),
                role=asked.role,
                instance=peer.instance.name if peer.instance is not None else None,
                reason=asked.reason,
                decision="activation refused",
            )


def _roles_of(daemon: Daemon, instance: str) -> frozenset[str]:
    found = daemon.config.instances.get(instance)
    return found.roles if found is not None else frozenset()
