"""What becomes of leases: asked for, given a session of their own, ended; each on record."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from imds.core import narrowing
from imds.core.callers import Caller
from imds.core.errors import (
    Action,
    BadRequestError,
    CredentialsError,
    NoSuchPathError,
    RefusedError,
    RequestError,
    TooManyRequestsError,
)
from imds.core.leases import Leases, new_id
from imds.core.limits import RateLimit
from imds.core.timestamps import timestamp
from imds.daemon.lease_sessions import lease_session
from imds.daemon.reachable import container_url, role_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from imds.core.container_tokens import ContainerToken
    from imds.core.instances import Instance
    from imds.core.leases import EndedLease, Lease
    from imds.core.roles import RoleSession
    from imds.daemon import Daemon
    from imds.web.leases import LeaseRequest
    from imds.web.peers import Peer

logger = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds for which whoever asks for a lease waits for AWS."""

ASKED_A_SECOND, AT_ONCE = 1, 30
"""How often one user may ask for a lease, since each costs AWS a session, whether it is used or not."""

OVER = "its time is over"


class Leasing:
    """The verbs for leases, and what ends them.

    Attributes:
        leases: the live ones, and the activations of break-glass roles.
        after_end: is told of each that has ended.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.leases = Leases(clock=daemon.clock)
        self.leases.guarded = daemon.config.guarded
        self.after_end: Callable[[EndedLease], None] = lambda _ended: None
        self._held: dict[str, str | None] = {}
        self._basis: dict[str, object] = {}
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._asked = RateLimit(ASKED_A_SECOND, burst=AT_ONCE)

    async def grant(self, peer: Peer, asked: LeaseRequest) -> dict[str, Any]:
        """Return a new lease and what a client needs to use it; nothing of it is left where AWS gives no session.

        Raises:
            RequestError: the peer may not have it.
            CredentialsError: AWS does not give its session.
        """
        if not self._asked.allows(peer.uid, self._daemon.clock.elapsed().total_seconds()):
            raise TooManyRequestsError(f"user {peer.uid} asks for leases too often: try again in a moment")
        try:
            lease, session, base = self._new(peer, asked)
        except RequestError as error:
            self._record_refusal(peer, asked, error)
            raise
        try:
            await self.open(lease, session)
        except BaseException as error:
            self.forget(lease)
            self._record("lease refused", lease, peer.caller, because=str(error) or type(error).__name__)
            raise
        self._record("leased", lease, peer.caller, because=f"asked for by {lease.user or f'uid {lease.owner}'}")
        logger.info("lease %s of role %s until %s for uid %s", lease.id, lease.role, timestamp(lease.ends), lease.owner)
        token, secret = self._token(lease, asked)
        return self.told(lease) | {
            "url": f"{base}v2/credentials/{token.id}",
            "token": secret,
            "expires": timestamp(lease.ends),
            "region": self._daemon.trees.region,
            "unavailable": None,
            "ruled": any("leases" in rule.match.asked() for rule in self._daemon.service.policy.rules),
        }

    def seen_by(self, peer: Peer) -> list[dict[str, Any]]:
        """Return the live leases that a peer may see: its user's in its instance, all to who has control."""
        return [self.told(lease) for lease in self.leases.live() if _is_of(peer, lease)]

    def revoke(self, peer: Peer, lease_id: str, *, command_ended: bool = False) -> dict[str, Any]:
        """End a lease, or tell of one that has ended; return until when its keys work, and what ends them before.

        Raises:
            NoSuchPathError: the peer has no such lease.
        """
        lease = self.leases.get(lease_id)
        if lease is not None and _is_of(peer, lease):
            why = "its command has ended" if command_ended else f"revoked by {_name(peer)}"
            ended = self.end(lease, why, peer.caller)
        else:
            ended = self.leases.ended(lease_id) if lease is None else None
        if ended is None or not _is_of(peer, ended.lease):
            raise NoSuchPathError(f"no lease {lease_id} of yours: see imds leases")
        until = ended.keys_until
        named = ended.lease.session_name
        return {
            "id": ended.lease.id,
            "role": ended.lease.role,
            "role_arn": ended.lease.role_arn,
            "why": ended.why,
            "keys_work_until": timestamp(until) if until is not None else None,
            "session_name": named,
            "policy": narrowing.killing_policy(named) if until is not None and named is not None else None,
        }

    def why_ended(self, lease_id: str) -> str | None:
        """Return why a held lease has ended; None while it is live."""
        return self._held.get(lease_id, OVER)

    def let_go(self, lease_id: str) -> None:
        """End a held lease: whoever asked for it has gone."""
        lease = self.leases.get(lease_id)
        if lease is not None:
            self.end(lease, "imds, which ran its command, has gone", None)
        self._held.pop(lease_id, None)

    def after_reload(self) -> None:
        """End the leases of roles that the new configuration changes or takes from their instance."""
        self.leases.guarded = self._daemon.config.guarded
        for lease in self.leases.live():
            instance = self._daemon.config.instances.get(lease.instance)
            if instance is None or lease.role not in instance.roles:
                self.end(lease, f"instance {lease.instance} does not allow role {lease.role} any more", None)
            elif self._daemon.keepers.basis(lease.role) != self._basis.get(lease.id):
                self.end(lease, f"the configuration of role {lease.role} has changed", None)

    def end_all(self) -> None:
        """End every lease: we stop."""
        for lease in self.leases.live():
            self.end(lease, "the daemon stops", None)

    def told(self, lease: Lease) -> dict[str, Any]:
        """Return what people and programs may know of a live lease."""
        used, until = self._daemon.uses.last.get(lease.key), self.leases.keys_until(lease.id)
        state = self._daemon.store.state(lease.key)
        failure = state.failure if state is not None else None
        return {
            "id": lease.id,
            "role": lease.role,
            "role_arn": lease.role_arn,
            "instance": lease.instance,
            "activation": lease.activation,
            "uid": lease.owner,
            "user": lease.user,
            "anybody_of_instance": lease.uid is None,
            "reason": lease.reason,
            "narrowed": lease.narrowed,
            "session_name": lease.session_name,
            "began": timestamp(lease.began),
            "ends": timestamp(lease.ends),
            "remaining_seconds": max(0, int((lease.ends - self._daemon.clock.now()).total_seconds())),
            "held": lease.held,
            "last_used": timestamp(used.at) if used is not None else None,
            "keys_work_until": timestamp(until) if until is not None else None,
            "failure": str(failure) if failure is not None else None,
        }

    def _allowed(self, peer: Peer, asked: LeaseRequest) -> tuple[Instance, str]:
        """Return for which instance and role a peer may have a lease.

        Raises:
            RequestError: for none, or not for what was asked.
        """
        if not peer.control and (asked.instance is not None or asked.tags):
            what = "a lease for another instance" if asked.instance is not None else "tags of a lease"
            raise RefusedError(f"{what} may be chosen by whoever may control the daemon only (control: true)")
        if asked.instance is None:
            return role_of(peer.instance, asked.role)
        instances = self._daemon.service.policy.instances
        if asked.instance not in instances:
            raise NoSuchPathError(f"no instance {asked.instance}; there are: {', '.join(instances)}")
        return role_of(instances[asked.instance], asked.role)

    def _new(self, peer: Peer, asked: LeaseRequest) -> tuple[Lease, RoleSession, str]:
        """Return a new lease, which is live from now on, the session that it is to have, and where it is given.

        Raises:
            RequestError: the peer may not have it, or AWS knows no such session.
        """
        instance, role = self._allowed(peer, asked)
        if role in self.leases.guarded:
            raise BadRequestError(f"role {role} is not leased: imds activate {role} --reason TEXT gives it to you")
        base = container_url(self._daemon.addresses, elsewhere=asked.instance is not None)
        lease_id, user = new_id(), peer.who.user
        stamped = user or f"uid-{peer.uid}"
        session = lease_session(role, self._daemon.config.roles[role], asked, lease_id=lease_id, user=stamped)
        lease = self.leases.make(
            lease_id,
            role,
            session,
            instance=instance.name,
            uid=peer.uid if asked.instance is None else None,
            owner=peer.uid,
            user=user,
            reason=asked.reason,
            ttl=asked.ttl,
            narrowed=str(asked.narrowing),
            held=asked.held,
        )
        self.leases.add(lease)
        return lease, session, base

    async def open(self, lease: Lease, session: RoleSession) -> None:
        """Get the session of a lease that is live.

        Raises:
            BadRequestError: the lease has ended meanwhile, or we have only just started.
            CredentialsError: AWS gives none.
        """
        self._daemon.keepers.keep_lease(lease.key, lease.role, session, lease.ends)
        self._basis[lease.id] = self._daemon.keepers.basis(lease.role)
        if lease.held:
            self._held[lease.id] = None
        self._timers[lease.id] = asyncio.create_task(self._end_in_time(lease), name=f"lease {lease.id}")
        state = self._daemon.store.state(lease.key)
        if state is None:
            raise BadRequestError("the daemon stops")
        try:
            async with asyncio.timeout(PATIENCE):
                await state.tried.wait()
        except TimeoutError:
            raise CredentialsError("Timeout", "AWS has not answered in time", action=Action.RETRY) from None
        if state.failure is not None:
            waiting = state.failure.waiting_for(lease.role)
            raise state.failure if waiting is None else _but_waiting(state.failure, waiting)
        if self.leases.get(lease.id) is None:
            raise BadRequestError("the lease has ended already: the configuration was changed, or the daemon stops")

    def _token(self, lease: Lease, asked: LeaseRequest) -> tuple[ContainerToken, str]:
        return self._daemon.container_tokens.mint(
            role=lease.role,
            instance=lease.instance,
            uid=lease.uid,
            ttl=asked.ttl,
            now=lease.began,
            lease=lease.id,
        )

    async def _end_in_time(self, lease: Lease) -> None:
        while not self.leases.is_over(lease):
            left = lease.ends_elapsed - self._daemon.clock.elapsed()
            await self._daemon.clock.sleep_until(min(lease.ends, self._daemon.clock.now() + left))
        self.end(lease, OVER, None)

    def end(self, lease: Lease, why: str, by: Caller | None) -> EndedLease | None:
        """End a lease that is live: nothing more is given from now on."""
        ended = self.leases.end(lease.id, why)
        if ended is None:
            return None
        self.forget(lease)
        if lease.id in self._held:
            self._held[lease.id] = why
        what = "activation" if lease.activation else "lease"
        self._record(f"{what} ended", lease, by, because=why, ended=ended)
        logger.info("%s %s of role %s has ended: %s", what, lease.id, lease.role, why)
        self.after_end(ended)
        return ended

    def forget(self, lease: Lease) -> None:
        """Forget a lease's session and tokens, and the lease itself where it never began."""
        self.leases.end(lease.id, "it never began")
        self._daemon.container_tokens.end_lease(lease.id)
        self._daemon.keepers.end_lease(lease.key)
        self._daemon.uses.forget(lease.key)
        self._basis.pop(lease.id, None)
        timer = self._timers.pop(lease.id, None)
        if timer is not None and timer is not asyncio.current_task():
            timer.cancel()

    def _record(
        self, decision: str, lease: Lease, caller: Caller | None, *, because: str, ended: EndedLease | None = None
    ) -> None:
        audit = self._daemon.audit
        if audit is not None:
            caller = caller or Caller(address="", uid=lease.owner, user=lease.user)
            until = ended.keys_until if ended is not None else None
            audit.note_lease(decision, lease, caller, because=because, keys_until=until)

    def _record_refusal(self, peer: Peer, asked: LeaseRequest, error: RequestError) -> None:
        audit = self._daemon.audit
        if audit is not None:
            instance = asked.instance or (peer.instance.name if peer.instance is not None else None)
            audit.note_lease_refusal(
                peer.who, because=str(error), role=asked.role, instance=instance, reason=asked.reason
            )


def _but_waiting(failure: CredentialsError, waiting: str) -> CredentialsError:
    return CredentialsError(failure.code, f"{failure.message} (waiting for {waiting})", action=failure.action)


def _is_of(peer: Peer, lease: Lease) -> bool:
    """Whether a peer may see a lease and end it; what runs in a lease's scope may, whatever else it is given."""
    if peer.control or (peer.caller is not None and lease.is_own(peer.caller)):
        return True
    return lease.owner == peer.uid and peer.instance is not None and peer.instance.name == lease.instance


def _name(peer: Peer) -> str:
    return (peer.caller.user if peer.caller is not None else None) or f"uid {peer.uid}"
