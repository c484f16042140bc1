"""What the control socket's verbs do."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import asdict
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from imds.core.errors import (
    BadRequestError,
    ConfigError,
    CredentialsNotReadyError,
    NoSuchPathError,
    RefusedError,
    TokenError,
)
from imds.core.timestamps import timestamp
from imds.daemon import status
from imds.daemon.reachable import container_url, role_of
from imds.daemon.simulating import Simulating
from imds.web.peers import Peer

if TYPE_CHECKING:
    from datetime import timedelta

    from imds.core.callers import Caller
    from imds.core.leases import Lease
    from imds.daemon import Daemon

logger = logging.getLogger(__name__)

REFRESH_PATIENCE = 30.0
"""Seconds for which ``imds refresh`` waits for AWS."""


class DaemonControls:
    """The verbs; each caller's uid comes from the kernel."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._simulating = Simulating(
            daemon.simulations,
            instances=lambda: daemon.config.instances,
            guarded=lambda: daemon.config.guarded,
            allow_faults=lambda: daemon.config.allow_faults,
        )

    async def peer(self, *, uid: int, pid: int | None) -> Peer:
        """Return what the rules give a process, which may be less than its user has.

        Raises:
            RefusedError: nothing.
        """
        asked = self._container_listener()
        caller = await self._daemon.callers.explain_process(pid, asked) if pid is not None else None
        if caller is None or caller.uid != uid:  # gone, or not what connected any more: nothing is known of it
            caller = await self._daemon.callers.explain_user(uid, asked)
        policy = self._daemon.service.policy
        decision = policy.decision(caller)
        if decision.instance is not None:
            instance = policy.instances[decision.instance]
            # whoever else the socket's group lets in has what the rules give them, and never the daemon itself
            control = uid == 0 or (instance.control and uid == self._daemon.uid)
            return Peer(uid=uid, pid=pid, instance=instance, control=control, caller=caller)
        if uid == 0:
            return Peer(uid=uid, pid=pid, instance=None, control=True, caller=caller)
        raise RefusedError(
            f"the control socket is for whom callers gives an instance, and for root: {decision.because}"
        )

    def status(self, peer: Peer) -> dict[str, Any]:
        """Return what there is to know, secrets excepted; to whom has no control, of the roles that they may have."""
        leases, requests = self._daemon.leasing.seen_by(peer), self._daemon.approving.seen_by(peer)
        if not peer.control and peer.instance is not None:
            return status.own(self._daemon, peer.instance, leases, requests)
        return status.everything(self._daemon, peer.instance, leases, requests) | {
            "simulated": self._simulating.kinds(self._daemon.clock.now())
        }

    def is_session_token(self, token: str) -> bool:
        """Whether a session token is one of ours, for any instance: whether who gave it is this daemon."""
        now = self._daemon.clock.now()
        for instance in self._daemon.service.policy.instances:
            with suppress(TokenError):
                return self._daemon.session_tokens.remaining(token, instance, now) > 0
        return False

    async def explain(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return which rule decides for a process (``pid``) or an address (``from``), and why.

        Raises:
            BadRequestError: the question names neither.
        """
        callers, listener = self._daemon.callers, str(question.get("listener", ""))
        match question:
            case {"pid": int(pid)} if 0 < pid < 1 << 22:
                caller = await callers.explain_process(pid, listener)
            case {"from": str(text)} if (found := _address(text)) is not None:
                caller = await callers.explain_address(found, listener)
            case _:
                raise BadRequestError("ask for a pid, or for an IP address with from")
        caller = self._daemon.service.policy.leasing(caller)
        decision = self._daemon.service.policy.decision(caller)
        return {
            "caller": _facts(caller),
            "instance": decision.instance,
            "because": decision.because,
            "rules": [
                {"number": number, "rule": rule.text, "matches": rule.match.matches(caller)}
                for number, rule in enumerate(self._daemon.config.callers, start=1)
            ],
        }

    async def reload(self) -> dict[str, Any]:
        """Read the configuration again.

        Raises:
            ConfigError: it is wrong; nothing has changed.
        """
        return {"restart_for": await self._daemon.reload()}

    def use(self, role: str, instance: str) -> dict[str, Any]:
        """Let an instance list another of its roles, until the daemon ends.

        Raises:
            NoSuchPathError: there is no such instance.
            BadRequestError: it does not allow this role.
        """
        if instance not in self._daemon.config.instances:
            raise NoSuchPathError(f"no instance {instance}; there are: {', '.join(self._daemon.config.instances)}")
        allowed = self._daemon.config.instances[instance].roles
        if role not in allowed:
            known = ", ".join(sorted(allowed)) or "none"
            raise BadRequestError(f"instance {instance} does not allow role {role}; it allows: {known}")
        if role in self._daemon.config.guarded:
            raise BadRequestError(
                f"role {role} is a break-glass role, which is never the default: imds activate {role}"
            )
        self._daemon.use(instance, role)
        return {"instance": instance, "role": role, "unavailable": self._unavailable(role)}

    async def refresh(self, role: str | None) -> dict[str, Any]:
        """Renew the session of a role, or of all, now; return how they are then.

        Raises:
            NoSuchPathError: there is no such role.
        """
        roles = self._daemon.config.roles
        if role is not None and role not in roles:
            raise NoSuchPathError(f"no role {role}; there are: {', '.join(roles)}")
        if role in self._daemon.config.guarded:
            raise BadRequestError(f"role {role} is a break-glass role, which is never renewed: imds activate {role}")
        names = list(self._daemon.config.kept) if role is None else [role]
        self._daemon.mfa.begin_anew(names)
        await self._daemon.keepers.refresh(names, REFRESH_PATIENCE)
        return {"roles": [status.role(self._daemon, name) for name in names]}

    def simulated(self) -> dict[str, Any]:
        """Return what is simulated, by instance."""
        return self._simulating.listed(self._daemon.clock.now())

    def simulate(self, events: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a client sent
        """Add events to timelines: all, or none.

        Raises:
            BadRequestError: one is wrong.
        """
        now = self._daemon.clock.now()
        logger.warning("simulating: %s more events", self._simulating.add(events, now))
        return self._simulating.listed(now)

    def clear_simulated(self, *, kind: str | None, instance: str | None) -> None:
        """Forget simulated events.

        Raises:
            BadRequestError: there is no such kind or instance.
        """
        self._simulating.clear(kind, instance, self._daemon.clock.now())

    async def identity_certificate(self) -> dict[str, Any]:
        """Return the certificate of the key that signs identity documents.

        Raises:
            CredentialsNotReadyError: there is none, because none can be made.
        """
        try:
            return {"certificate": await self._daemon.signing.certificate()}
        except (ConfigError, OSError, ValueError, LookupError, TimeoutError) as error:
            raise CredentialsNotReadyError(f"there is no certificate: {error}") from error

    async def give_mfa_code(self, role: str, code: str) -> dict[str, Any]:
        """Try an MFA code for the source of a role.

        Raises:
            NoSuchPathError: there is no such role.
            BadRequestError: it takes no codes.
            CredentialsError: AWS does not take this one.
        """
        if role not in self._daemon.config.roles:
            raise NoSuchPathError(f"no role {role}; there are: {', '.join(self._daemon.config.roles)}")
        return {"roles": await self._daemon.mfa.give(role, code)}

    async def mint(self, peer: Peer, *, role: str | None, ttl: timedelta) -> dict[str, Any]:
        """Make a container token for a role that the peer's instance allows.

        Raises:
            RequestError: the peer may not have this role, or there is no address that SDKs accept for it.
        """
        instance, role = role_of(peer.instance, role)
        base, now = container_url(self._daemon.addresses), self._daemon.clock.now()
        activation = self._activation(role, peer.uid, instance.name)
        token, secret = self._daemon.container_tokens.mint(
            role=role,
            instance=instance.name,
            uid=peer.uid,
            ttl=ttl if activation is None else min(ttl, activation.ends - now),
            now=now,
            lease=activation.id if activation is not None else None,
        )
        await self._daemon.keep_container_tokens()
        return {
            "id": token.id,
            "role": role,
            "url": f"{base}v2/credentials/{token.id}",
            "token": secret,
            "expires": timestamp(token.expires),
            "region": self._daemon.trees.region,
            "unavailable": self._unavailable(role),
        }

    def _activation(self, role: str, uid: int, instance: str) -> Lease | None:
        """Return the activation that a container token of a break-glass role belongs to; None for another role.

        Raises:
            BadRequestError: it is not active.
        """
        leases = self._daemon.leasing.leases
        if role not in leases.guarded:
            return None
        activation = leases.activation(role, uid, instance)
        if activation is None:
            raise BadRequestError(f"role {role} is not active: imds activate {role} --reason TEXT")
        return activation

    def _unavailable(self, role: str) -> str | None:
        """Return why a role has no credentials now; None where it has."""
        state = self._daemon.store.state(role)
        if state is None or state.failure is None or self._daemon.store.remaining(state):
            return None
        waiting = state.failure.waiting_for(role)
        return f"waiting for {waiting}" if waiting else str(state.failure)

    async def renew(self, peer: Peer, token_id: str, *, ttl: timedelta) -> dict[str, Any]:
        """Let a token live on.

        Raises:
            NoSuchPathError: the peer has no such live token.
        """
        now = self._daemon.clock.now()
        token = self._daemon.container_tokens.renew(token_id, uid=peer.uid, instance=_only(peer), ttl=ttl, now=now)
        await self._daemon.keep_container_tokens()
        return {"id": token.id, "expires": timestamp(token.expires)}

    async def revoke(self, peer: Peer, token_id: str) -> None:
        """End a token.

        Raises:
            NoSuchPathError: the peer has no such token.
        """
        self._daemon.container_tokens.revoke(token_id, uid=peer.uid, instance=_only(peer))
        await self._daemon.keep_container_tokens()

    def _container_listener(self) -> str:
        """Return the address for which rules are asked: that which the tokens made here are for."""
        try:
            return container_url(self._daemon.addresses).removeprefix("http://").rstrip("/")
        except BadRequestError:
            return "control socket"


def _only(peer: Peer) -> str | None:
    """Return the instance whose tokens a peer may renew and end; None for any, where it has control."""
    if peer.control or peer.instance is None:
        return None
    return peer.instance.name


def _address(text: str) -> str | None:
    try:
        return str(ip_address(text))
    except ValueError:
        return None


def _facts(caller: Caller) -> dict[str, Any]:
    """Return what is known of a caller, for people."""
    process, container = caller.process, caller.container
    return {
        "address": caller.address,
        "uid": caller.uid,
        "user": caller.user,
        "groups": list(caller.groups) if caller.groups is not None else None,
        "place": caller.place.value,
        "pid": process.program.pid if process else None,
        "exe": process.program.exe if process else None,
        "command": process.program.command if process else None,
        "ancestors": [one.exe or one.command for one in process.ancestors] if process else None,
        "cgroup": caller.cgroup,
        "lease": caller.lease_role,
        "container": asdict(container) if container else None,
        "container_uid": caller.container_uid,
    }
