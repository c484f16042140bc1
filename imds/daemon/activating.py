"""What becomes of break-glass roles: asked for, maybe approved, recorded and told, given, ended.

The order is the point: the line in the audit log is on the disk and everybody has been told before AWS is asked.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from imds.core.approvals import Asked, new_request_id
from imds.core.callers import Caller
from imds.core.errors import BadRequestError, ConfigError, ImdsError, RefusedError, RequestError
from imds.core.leases import new_id
from imds.core.limits import RateLimit
from imds.core.timestamps import timestamp
from imds.daemon.approving import may_be_in_a_lease
from imds.daemon.lease_sessions import activation_session
from imds.daemon.reachable import role_of
from imds.daemon.reasons import is_found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imds.config.break_glass import BreakGlass
    from imds.config.schema import Role
    from imds.core.instances import Instance
    from imds.core.leases import EndedLease, Lease
    from imds.core.roles import RoleSession
    from imds.daemon import Daemon
    from imds.daemon.auditing import Auditing
    from imds.web.activations import ActivationRequest
    from imds.web.peers import Peer

logger = logging.getLogger(__name__)

ASKED_A_SECOND, AT_ONCE = 1, 10
LOOK_AGAIN = 0.02
LAST_WORDS = 5.0
"""Seconds for which we wait, when we stop, until everybody has been told what that ends."""


class Activating:
    """The verbs for break-glass roles, and what ends their activations."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._begun: set[tuple[str, int, str]] = set()
        self._asked = RateLimit(ASKED_A_SECOND, burst=AT_ONCE)
        self._left = daemon.kept.activations()
        daemon.leasing.after_end = self._after_end

    async def activate(self, peer: Peer, asked: ActivationRequest) -> dict[str, Any]:
        """Give a role to whoever asks, or say what it takes: ``needs`` is ``approval`` or ``code`` then.

        Raises:
            RequestError: the peer may not have it.
            CredentialsError: AWS does not give its session.
        """
        if self._daemon.stopping:
            raise BadRequestError("the daemon stops")
        if not self._asked.allows(peer.uid, self._daemon.clock.elapsed().total_seconds()):
            raise BadRequestError("you ask too often: try again in a moment")
        try:
            pattern = await self._matched(peer, asked)
            instance, name, guard, audit = self._allowed(peer, asked, pattern)
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
            try:
                return await self._begin(peer, asked, wanted, approved, audit)
            except BaseException:
                if approved is not None:  # what it was for has not come to be
                    self._daemon.approving.give_back(approved)
                raise

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
        return {"ended": [leasing.revoke(peer, one.id) for one in mine]}

    async def resume(self) -> None:
        """Tell and record the end of what was active when an earlier daemon was killed: nothing of it lives on."""
        left, self._left = self._left, []
        for lease in left:
            why = "the daemon that gave it has ended without a word"
            caller = Caller(address="", uid=lease.owner, user=lease.user)
            if self._daemon.audit is not None:
                self._daemon.audit.note_lease("activation ended", lease, caller, because=why)
            self._daemon.telling.ended(lease, why)
        if left:
            await self._keep()

    async def settle(self) -> None:
        """Wait until everybody has been told what has ended, but not for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                # two things that come and go, looked at once, when we stop
                while self._begun or self._daemon.telling.busy:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_AGAIN)

    def _guarded(self, peer: Peer, asked: ActivationRequest) -> tuple[Instance, str, BreakGlass]:
        """Return for which instance a peer asks, for which role, and its terms.

        Raises:
            RequestError: there is no such break-glass role for it.
        """
        instance, name = role_of(peer.instance, asked.role)
        guard = self._daemon.config.roles[name].break_glass
        if guard is None:
            raise BadRequestError(f"role {name} is no break-glass role: it is simply there (imds exec {name})")
        return instance, name, guard

    async def _matched(self, peer: Peer, asked: ActivationRequest) -> str:
        """Return the expression that is found in the reason.

        Raises:
            RequestError: it is not.
        """
        _, name, guard = self._guarded(peer, asked)
        try:
            found = await is_found(guard.reason, asked.reason)
        except OSError as error:
            raise RefusedError(f"the reason cannot be looked at: {error.strerror}") from error
        if not found:
            raise BadRequestError(f"the reason for role {name} must match {guard.reason}")
        return guard.reason

    def _allowed(
        self, peer: Peer, asked: ActivationRequest, pattern: str
    ) -> tuple[Instance, str, BreakGlass, Auditing]:
        """Return for which instance, role and by which terms a peer may ask, and where that is recorded.

        Raises:
            RequestError: for none.
        """
        instance, name, guard = self._guarded(peer, asked)
        if guard.reason != pattern:
            raise RefusedError("the configuration has changed meanwhile: ask again")
        if may_be_in_a_lease(peer):
            raise RefusedError("what runs in a lease's scope, or is not known, activates nothing")
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
        return instance, name, guard, self._daemon.audit

    @contextmanager
    def _alone(self, name: str, uid: int, instance: str) -> Iterator[None]:
        """Keep a second activation of the same away meanwhile."""
        self._begun.add((name, uid, instance))
        try:
            yield
        finally:
            self._begun.discard((name, uid, instance))

    def _wanted(self, peer: Peer, asked: ActivationRequest, instance: Instance, name: str, guard: BreakGlass) -> Asked:
        return Asked(
            id=new_request_id(),
            role=name,
            uid=peer.uid,
            user=peer.who.user,
            instance=instance.name,
            reason=asked.reason,
            ttl=asked.ttl or guard.ttl,
            approvers=guard.approvers,
            at=self._daemon.clock.now(),
        )

    async def _begin(
        self, peer: Peer, asked: ActivationRequest, wanted: Asked, approved: Asked | None, audit: Auditing
    ) -> dict[str, Any]:
        """Record it, tell everybody, and get its session."""
        role = self._daemon.config.roles[wanted.role]
        lease, session = self._lease(wanted, role)
        by = f"approved by {approved.by} (request {approved.id})" if approved is not None else ""
        try:
            await self._record(audit, lease, peer, f"asked for by {wanted.asker}" + (f"; {by}" if by else ""))
            told = await self._daemon.telling.activated(lease, _terms(role), by)
            await self._open(lease, session, role, asked.code)
        except BaseException as error:
            why = str(error) or type(error).__name__
            audit.note_lease("activation refused", lease, peer.who, because=why)
            self._daemon.telling.refused(lease, why)
            self._daemon.telling.later(self._keep())
            if not isinstance(error, ImdsError | asyncio.CancelledError):
                logger.exception("unexpected failure of an activation")
            raise
        told = f"{told}; {by}" if by else told
        audit.note_lease("activated", lease, peer.who, because=told)
        logger.warning("role %s is active for %s until %s", lease.role, wanted.asker, timestamp(lease.ends))
        return self._daemon.leasing.told(lease) | {"region": self._daemon.trees.region, "told": told}

    def _lease(self, wanted: Asked, role: Role) -> tuple[Lease, RoleSession]:
        """Return the activation as it will be, and what is asked of STS."""
        lease_id = new_id()
        stamped = wanted.user or f"uid-{wanted.uid}"
        session = activation_session(wanted.role, role, lease_id=lease_id, reason=wanted.reason, user=stamped)
        lease = self._daemon.leasing.leases.make(
            lease_id,
            wanted.role,
            session,
            instance=wanted.instance,
            uid=wanted.uid,
            owner=wanted.uid,
            user=wanted.user,
            reason=wanted.reason,
            ttl=wanted.ttl,
            activation=True,
        )
        return lease, session

    async def _record(self, audit: Auditing, lease: Lease, peer: Peer, because: str) -> None:
        """Have it on the disk.

        Raises:
            RefusedError: it cannot be.
        """
        try:
            await audit.note_first("activating", lease, peer.who, because=because)
        except (OSError, TimeoutError) as error:
            why = str(error) or "the disk does not answer"
            raise RefusedError(f"it cannot be recorded, so nothing is given: {why}") from error

    async def _open(self, lease: Lease, session: RoleSession, role: Role, code: str | None) -> None:
        """Get the session.

        Raises:
            RequestError: the configuration has changed meanwhile, it took too long, or there are too many.
            CredentialsError: AWS does not give it.
        """
        daemon = self._daemon
        if code is not None:
            await daemon.mfa.give(lease.role, code)
        await self._keep(lease)
        # nothing may come between this look and the lease's start: a reload or a stop would find half of it
        if daemon.stopping:
            raise RefusedError("the daemon stops")
        if daemon.config.roles.get(lease.role) != role or lease.role not in _roles_of(daemon, lease.instance):
            raise RefusedError("the configuration has changed meanwhile: ask again")
        if daemon.leasing.leases.is_over(lease):
            raise RefusedError("its time was over before everybody had been told")
        daemon.leasing.leases.add(lease)
        try:
            await daemon.leasing.open(lease, session)
        except BaseException:
            daemon.leasing.forget(lease)
            raise

    async def _keep(self, *coming: Lease) -> None:
        """Leave word of what is active, and of what is about to be, for the daemon after us."""
        live = [one for one in self._daemon.leasing.leases.live() if one.activation]
        try:
            await self._daemon.kept.keep_activations([*live, *coming])
        except ConfigError as error:
            logger.warning("the end of an activation is not told after a crash: %s", error)

    def _after_end(self, ended: EndedLease) -> None:
        if not ended.lease.activation:
            return
        until = f"; keys that were given work until {timestamp(ended.keys_until)}" if ended.keys_until else ""
        self._daemon.telling.ended(ended.lease, f"{ended.why}{until}")
        self._daemon.telling.later(self._keep())

    def _note_refusal(self, peer: Peer, asked: ActivationRequest, error: RequestError) -> None:
        if self._daemon.audit is not None:
            self._daemon.audit.note_lease_refusal(
                peer.who,
                because=str(error),
                role=asked.role,
                instance=peer.instance.name if peer.instance is not None else None,
                reason=asked.reason,
                decision="activation refused",
            )


def _terms(role: Role) -> BreakGlass:
    """Return the terms of a role that has some."""
    if role.break_glass is None:
        raise RefusedError("the configuration has changed meanwhile: ask again")
    return role.break_glass


def _roles_of(daemon: Daemon, instance: str) -> frozenset[str]:
    found = daemon.config.instances.get(instance)
    return found.roles if found is not None else frozenset()
