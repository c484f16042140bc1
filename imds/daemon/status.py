"""How the daemon is: what ``imds status --json`` prints."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import imds
from imds.core.errors import Action
from imds.core.timestamps import timestamp

if TYPE_CHECKING:
    from imds.core.callers import Caller
    from imds.core.errors import CredentialsError
    from imds.core.instances import Instance
    from imds.core.policy import Rule
    from imds.daemon import Daemon
    from imds.host.audit_log import AuditLog
    from imds.web.recent import Recent
    from imds.web.turned_away import Turned

PROTOCOL_VERSION = 1


def own(
    daemon: Daemon, instance: Instance, leases: list[dict[str, Any]], requests: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return what somebody may know who sees ``instance`` and has no control; and their leases and requests."""
    roles = [role(daemon, name) for name in daemon.config.roles if name in instance.roles]
    return _about(daemon, instance) | {"roles": roles, "callers": [], "leases": leases, "requests": requests}


def everything(
    daemon: Daemon, instance: Instance | None, leases: list[dict[str, Any]], requests: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return all there is to know, secrets excepted, to somebody who sees ``instance``, ``leases`` and ``requests``."""
    log = daemon.audit_log
    return _about(daemon, instance) | {
        "config": str(daemon.config.path) if daemon.config.path else None,
        "roles": [role(daemon, name) for name in daemon.config.roles],
        "callers": [_rule(rule) for rule in daemon.config.callers],
        "instances": [_instance(instance) for instance in daemon.service.policy.instances.values()],
        "turned_away": [_turned(daemon, one) for one in daemon.service.turned_away.lately()],
        "most_connections": daemon.most_connections,
        "session_budget": daemon.keepers.session_budget,
        "sessions": {"kept_in": daemon.sessions.kept_in, "restored": list(daemon.sessions.restored)},
        "audit": _log(log) if log is not None else None,
        "admin_listen": daemon.admin,
        "recent": [_recent(daemon, one) for one in daemon.service.recent.newest_first()],
        "leases": leases,
        "notifications": daemon.notifying.to_json(),
        "requests": requests,
        "reload_problems": daemon.reload_problems,
        "container_tokens": len(daemon.container_tokens.live(daemon.clock.now())),
    }


def _about(daemon: Daemon, instance: Instance | None) -> dict[str, Any]:
    skew = daemon.skew.measured
    return {
        "protocol": PROTOCOL_VERSION,
        "version": imds.__version__,
        "pid": os.getpid(),
        "started": timestamp(daemon.trees.launched),
        "ready": daemon.ready.is_set(),
        "region": daemon.trees.region,
        "listen": [address.url for address in daemon.addresses],
        "instance": instance.name if instance else None,
        "default_role": (instance or daemon.service.policy.instances["default"]).role,
        "clock_skew_seconds": round(skew.total_seconds()) if skew is not None else None,
    }


def _rule(rule: Rule) -> dict[str, Any]:
    asked = rule.match.asked()
    return {
        "match": rule.text,
        "instance": rule.instance,
        "container": "container" in asked,
        "beyond_this_host": bool(asked & {"container", "networks"}),
    }


def _instance(instance: Instance) -> dict[str, Any]:
    return {
        "name": instance.name,
        "role": instance.role,
        "http_endpoint": "enabled" if instance.enabled else "disabled",
        "http_tokens": "required" if instance.token_required else "optional",
        "http_put_response_hop_limit": instance.hop_limit,
    }


def _log(log: AuditLog) -> dict[str, Any]:
    return {"path": str(log.path), "last": log.previous, "failure": log.failure, "lost": log.lost}


def _turned(daemon: Daemon, one: Turned) -> dict[str, Any]:
    asking = {"why": one.why.value, "instance": one.instance, **_asking(daemon, one.caller)}
    return asking | {"last": timestamp(one.last), "count": one.count}


def _recent(daemon: Daemon, one: Recent) -> dict[str, Any]:
    return {"role": one.role, **_asking(daemon, one.caller), "at": timestamp(one.at), "count": one.count}


def _asking(daemon: Daemon, caller: Caller) -> dict[str, Any]:
    program = caller.process.program if caller.process else None
    return {
        "address": caller.address,
        "uid": caller.uid,
        "user": caller.user or daemon.callers.last_name(caller.uid),
        "pid": program.pid if program else None,
        "program": program.name if program else None,
        "container": caller.container.name if caller.container else None,
    }


def role(daemon: Daemon, name: str) -> dict[str, Any]:
    """Return how a role is."""
    configured = daemon.config.roles[name]
    state, used = daemon.store.state(name), daemon.uses.last.get(name)
    issuer = daemon.keepers.issuers.get(name)
    entry: dict[str, Any] = {
        "name": name,
        "role_arn": configured.session.role_arn if configured.session else None,
        "source": str(configured.source),
        "state": "starting",
        "access_key_id": None,
        "expiration": None,
        "remaining_seconds": 0,
        "last_refresh": None,
        "next_attempt": timestamp(state.next_attempt) if state and state.next_attempt else None,
        "failure": None,
        "waiting_for": None,
        "mfa": daemon.mfa.told(name),
        "duration_limited_to": int(issuer.longest.total_seconds()) if issuer and issuer.longest else None,
        "last_used": None,
    }
    if state is not None and state.credentials is not None:
        entry |= {
            "access_key_id": state.credentials.access_key_id,
            "arn": state.credentials.arn,
            "account_id": state.credentials.account_id,
            "expiration": timestamp(state.credentials.expiration),
            "remaining_seconds": max(0, int(daemon.store.remaining(state).total_seconds())),
            "last_refresh": timestamp(state.credentials.last_updated),
        }
    if configured.break_glass is not None:
        entry["state"] = "break-glass"
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
        entry["last_used"] = {"at": timestamp(used.at), "uid": used.caller.uid, "user": user}
    return entry


def _word(live: bool, failure: CredentialsError | None) -> str:  # noqa: FBT001 - a value, not a switch
    if failure is None:
        return "ok" if live else "unavailable"
    if failure.action is Action.REAUTHENTICATE:
        return "waiting"
    return "failing" if live else "unavailable"
