"""What the control socket's verbs do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import imds
from imds.core.errors import Action, BadRequestError, NoSuchPathError
from imds.core.policy import Caller
from imds.host.callers import user_name
from imds.web.guards import CONTAINER_ADDRESSES

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from imds.core.errors import CredentialsError
    from imds.core.instances import Instance
    from imds.daemon import Daemon

PROTOCOL_VERSION = 1


class DaemonControls:
    """The verbs; each caller's uid comes from the kernel."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def status(self) -> dict[str, Any]:
        """Return everything there is to know, secrets excepted."""
        daemon = self._daemon
        return {
            "protocol": PROTOCOL_VERSION,
            "version": imds.__version__,
            "pid": os.getpid(),
            "started": _moment(daemon.trees.launched),
            "ready": daemon.ready.is_set(),
            "config": str(daemon.config.path) if daemon.config.path else None,
            "region": daemon.trees.region,
            "listen": [address.url for address in daemon.addresses],
            "default_role": daemon.config.instances["default"].role,
            "roles": [self._role(name) for name in daemon.config.roles],
            "callers": [{"match": rule.text, "instance": rule.instance} for rule in daemon.config.callers],
            "clock_skew_seconds": round(skew.total_seconds()) if (skew := daemon.skew.measured) is not None else None,
            "session_budget": daemon.keepers.session_budget,
            "container_tokens": len(daemon.container_tokens.live(daemon.clock.now())),
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

    def mint(self, *, role: str | None, ttl: timedelta, uid: int) -> dict[str, Any]:
        """Return a container token and what a client needs to use it.

        Raises:
            RequestError: the peer may not have this role, or there is no address that SDKs accept for it.
        """
        instance = self._instance(uid)
        role = role or instance.role
        if role is None:
            raise NoSuchPathError("your instance has no default role: name one")
        if role not in instance.roles:
            known = ", ".join(sorted(instance.roles)) or "none"
            raise NoSuchPathError(f"role {role} is not one of yours; there are: {known}")
        base = self._container_url()
        token, secret = self._daemon.container_tokens.mint(role=role, uid=uid, ttl=ttl, now=self._daemon.clock.now())
        self._daemon.keep_container_tokens()
        return {
            "id": token.id,
            "role": role,
            "url": f"{base}v2/credentials/{token.id}",
            "token": secret,
            "expires": _moment(token.expires),
            "region": self._daemon.trees.region,
        }

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

    def _instance(self, uid: int) -> Instance:
        """Return the instance that the socket's peer sees: control verbs pass the same decision as requests do."""
        caller = Caller(address="control socket", uid=uid, user=user_name(uid))
        return self._daemon.policy.instance(caller)

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
            entry["last_used"] = {"at": _moment(used.at), "uid": used.caller.uid, "user": used.caller.user}
        return entry


def _word(live: bool, failure: CredentialsError | None) -> str:  # noqa: FBT001 - a value, not a switch
    if failure is None:
        return "ok" if live else "unavailable"
    if failure.action is Action.REAUTHENTICATE:
        return "waiting"
    return "failing" if live else "unavailable"


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
