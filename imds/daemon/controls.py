"""What the control socket's verbs do."""

from __future__ import annotations

import os
from dataclasses import asdict
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import imds
from imds.core.errors import Action, BadRequestError, NoSuchPathError, RefusedError
from imds.web.control import Peer
from imds.web.guards import CONTAINER_ADDRESSES

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from imds.core.callers import Caller
    from imds.core.errors import CredentialsError
    from imds.core.instances import Instance
    from imds.daemon import Daemon

PROTOCOL_VERSION = 1


class DaemonControls:
    """The verbs; each caller's uid comes from the kernel."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    async def peer(self, *, uid: int, pid: int | None) -> Peer:
        """Return what the rules give a process, which may be less than its user has.

        Raises:
            RefusedError: nothing.
        """
        asked = self._container_listener()
        caller = await self._daemon.callers.explain_process(pid, asked) if pid is not None else None
        if caller is None or caller.uid != uid:  # gone, or not what connected any more: nothing is known of it
            caller = await self._daemon.callers.explain_user(uid, asked)
        policy = self._daemon.policy
        decision = policy.decision(caller)
        if decision.instance is not None:
            instance = policy.instances[decision.instance]
            return Peer(uid=uid, pid=pid, instance=instance, control=instance.control or uid == 0)
        if uid == 0:
            return Peer(uid=uid, pid=pid, instance=None, control=True)
        raise RefusedError(
            f"the control socket is for whom callers gives an instance, and for root: {decision.because}"
        )

    def status(self, peer: Peer) -> dict[str, Any]:
        """Return what there is to know, secrets excepted; to whom has no control, of the roles that they may have."""
        daemon = self._daemon
        about = {
            "protocol": PROTOCOL_VERSION,
            "version": imds.__version__,
            "pid": os.getpid(),
            "started": _moment(daemon.trees.launched),
            "ready": daemon.ready.is_set(),
            "region": daemon.trees.region,
            "listen": [address.url for address in daemon.addresses],
            "instance": peer.instance.name if peer.instance else None,
            "default_role": (peer.instance or daemon.config.instances["default"]).role,
            "clock_skew_seconds": round(skew.total_seconds()) if (skew := daemon.skew.measured) is not None else None,
        }
        if not peer.control and peer.instance is not None:
            own = [name for name in daemon.config.roles if name in peer.instance.roles]
            return about | {"roles": [self._role(name) for name in own], "callers": []}
        return about | {
            "config": str(daemon.config.path) if daemon.config.path else None,
            "roles": [self._role(name) for name in daemon.config.roles],
            "callers": [{"match": rule.text, "instance": rule.instance} for rule in daemon.config.callers],
            "session_budget": daemon.keepers.session_budget,
            "audit": {"path": str(log.path), "last": log.previous} if (log := daemon.audit_log) is not None else None,
            "container_tokens": len(daemon.container_tokens.live(daemon.clock.now())),
        }

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
        decision = self._daemon.policy.decision(caller)
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

    async def give_mfa_code(self, role: str, code: str) -> dict[str, Any]:
        """Try an MFA code for the source of a role.

        Raises:
            NoSuchPathError: there is no such role.
            BadRequestError: it takes no codes.
            CredentialsError: AWS does not take this one.
        """
        if role not in self._daemon.config.roles:
            raise NoSuchPathError(f"no role {role}; there are: {', '.join(self._daemon.config.roles)}")
        return {"roles": await self._daemon.keepers.give_mfa_code(role, code)}

    def mint(self, peer: Peer, *, role: str | None, ttl: timedelta) -> dict[str, Any]:
        """Make a container token for a role that the peer's instance allows.

        Raises:
            RequestError: the peer may not have this role, or there is no address that SDKs accept for it.
        """
        instance, role = self.allowed(peer, role)
        base = self._container_url()
        token, secret = self._daemon.container_tokens.mint(
            role=role, instance=instance.name, uid=peer.uid, ttl=ttl, now=self._daemon.clock.now()
        )
        self._daemon.keep_container_tokens()
        return {
            "id": token.id,
            "role": role,
            "url": f"{base}v2/credentials/{token.id}",
            "token": secret,
            "expires": _moment(token.expires),
            "region": self._daemon.trees.region,
            "unavailable": self._unavailable(role),
        }

    def allowed(self, peer: Peer, role: str | None) -> tuple[Instance, str]:
        """Return a peer's instance and its role of that name, the default one for None.

        Raises:
            RequestError: the peer may not have this role.
        """
        instance = peer.instance
        if instance is None:
            raise RefusedError("no rule of callers gives you an instance")
        role = role or instance.role
        if role is None:
            raise NoSuchPathError("your instance has no default role: name one")
        if role not in instance.roles:
            known = ", ".join(sorted(instance.roles)) or "none"
            raise NoSuchPathError(f"role {role} is not one of yours; there are: {known}")
        return instance, role

    def _unavailable(self, role: str) -> str | None:
        """Return why a role has no credentials now; None where it has."""
        state = self._daemon.store.state(role)
        if state is None or state.failure is None or self._daemon.store.remaining(state):
            return None
        waiting = state.failure.waiting_for(role)
        return f"waiting for {waiting}" if waiting else str(state.failure)

    def renew(self, token_id: str, *, ttl: timedelta, uid: int) -> dict[str, Any]:
        """Let a token live on.

        Raises:
            NoSuchPathError: this user has no such live token.
        """
        token = self._daemon.container_tokens.renew(token_id, uid=uid, ttl=ttl, now=self._daemon.clock.now())
        self._daemon.keep_container_tokens()
        return {"id": token.id, "expires": _moment(token.expires)}

    def revoke(self, token_id: str, *, uid: int) -> None:
        """End a token.

        Raises:
            NoSuchPathError: this user has no such token.
        """
        self._daemon.container_tokens.revoke(token_id, uid=uid)
        self._daemon.keep_container_tokens()

    def _container_listener(self) -> str:
        """Return the address for which rules are asked: that which the tokens made here are for."""
        try:
            return self._container_url().removeprefix("http://").rstrip("/")
        except BadRequestError:
            return "control socket"

    def _container_url(self) -> str:
        """Return an address that every SDK accepts for container credentials over plain HTTP.

        Raises:
            BadRequestError: we listen on none.
        """
        usable = [
            address
            for address in self._daemon.addresses
            if address.host in CONTAINER_ADDRESSES or address.host == "::1" or address.host.startswith("127.")
        ]
        if not usable:
            raise BadRequestError(
                "SDKs take container credentials from a loopback address or 169.254.170.2 only, and the daemon listens "
                "on neither: add http://127.0.0.1:9254 to listen"
            )
        return min(usable, key=lambda address: address.host != "127.0.0.1").url

    def _role(self, name: str) -> dict[str, Any]:
        daemon, role = self._daemon, self._daemon.config.roles[name]
        state, used = daemon.store.state(name), daemon.uses.last.get(name)
        issuer = daemon.keepers.issuers.get(name)
        entry: dict[str, Any] = {
            "name": name,
            "role_arn": role.session.role_arn if role.session else None,
            "source": str(role.source),
            "state": "starting",
            "access_key_id": None,
            "expiration": None,
            "remaining_seconds": 0,
            "last_refresh": None,
            "next_attempt": _moment(state.next_attempt) if state and state.next_attempt else None,
            "failure": None,
            "waiting_for": None,
            "duration_limited_to": int(issuer.longest.total_seconds()) if issuer and issuer.longest else None,
            "last_used": None,
        }
        if state is not None and state.credentials is not None:
            entry |= {
                "access_key_id": state.credentials.access_key_id,
                "arn": state.credentials.arn,
                "account_id": state.credentials.account_id,
                "expiration": _moment(state.credentials.expiration),
                "remaining_seconds": max(0, int(daemon.store.remaining(state).total_seconds())),
                "last_refresh": _moment(state.credentials.last_updated),
            }
        if state is not None and state.tried.is_set():
            entry["state"] = _word(entry["remaining_seconds"] > 0, state.failure)
        if state is not None and state.failure is not None:
            entry["failure"] = {
                "code": state.failure.code,
                "message": state.failure.message,
                "action": state.failure.action.value,
                "in_a_row": state.failures,
            }
            entry["waiting_for"] = state.failure.waiting_for(name)
        if used is not None:
            user = used.caller.user or daemon.callers.last_name(used.caller.uid)
            entry["last_used"] = {"at": _moment(used.at), "uid": used.caller.uid, "user": user}
        return entry


def _word(live: bool, failure: CredentialsError | None) -> str:  # noqa: FBT001 - a value, not a switch
    if failure is None:
        return "ok" if live else "unavailable"
    if failure.action is Action.REAUTHENTICATE:
        return "waiting"
    return "failing" if live else "unavailable"


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
        "container": asdict(container) if container else None,
    }


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
