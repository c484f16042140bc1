"""Who may ask for which lease, and who sees it; without control of the daemon it is one's own."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from support.fakes import START

from imds.core.callers import Caller
from imds.core.container_tokens import ContainerTokens
from imds.core.errors import NoSuchPathError, RefusedError
from imds.core.instances import Instance
from imds.core.leases import Lease
from imds.core.narrowing import Narrowing
from imds.daemon.controls import DaemonControls
from imds.daemon.leasing import Leasing, _is_of
from imds.web.leases import LeaseRequest
from imds.web.peers import Peer

DEFAULT = Instance(name="default", role="app", roles=frozenset({"app", "viewer"}), control=True)
AGENT = Instance(name="agent", role=None, roles=frozenset({"viewer"}))
OWNER = Peer(uid=1000, pid=1, instance=DEFAULT, control=True)
HELPER = Peer(uid=1000, pid=2, instance=AGENT, control=False)
ROOT = Peer(uid=0, pid=3, instance=None, control=True)


def asked(**changes: object) -> LeaseRequest:
    """Return a request."""
    told = {"role": None, "ttl": timedelta(minutes=5), "narrowing": Narrowing(), "tags": {}, "reason": ""} | changes
    return LeaseRequest(**told)


def allowed(peer: Peer, **changes: object) -> tuple[str, str]:
    """Return the names of instance and role that a lease is for."""
    policy = SimpleNamespace(instances={"default": DEFAULT, "agent": AGENT})
    leasing = SimpleNamespace(_daemon=SimpleNamespace(service=SimpleNamespace(policy=policy)))
    instance, role = Leasing._allowed(leasing, peer, asked(**changes))
    return instance.name, role


def test_everybody_leases_what_is_theirs() -> None:
    """Any role of one's own instance, the default one where none is named."""
    assert allowed(OWNER) == ("default", "app")
    assert allowed(OWNER, role="viewer") == ("default", "viewer")
    assert allowed(HELPER, role="viewer") == ("agent", "viewer")
    for peer, role in ((HELPER, "app"), (HELPER, None), (OWNER, "nobody")):
        with pytest.raises(NoSuchPathError):
            allowed(peer, role=role)
    with pytest.raises(RefusedError, match="no rule of callers"):
        allowed(ROOT, role="app")


def test_who_controls_the_daemon_leases_for_others() -> None:
    """For another instance what that one allows, and with tags; nobody else may."""
    assert allowed(ROOT, instance="agent", role="viewer") == ("agent", "viewer")
    assert allowed(OWNER, instance="agent", role="viewer", tags={"a": "1"}) == ("agent", "viewer")
    with pytest.raises(NoSuchPathError):
        allowed(OWNER, instance="agent", role="app")
    with pytest.raises(RefusedError, match="control: true"):
        allowed(HELPER, instance="agent", role="viewer")
    with pytest.raises(RefusedError, match="tags of a lease"):
        allowed(HELPER, role="viewer", tags={"team": "payments"})


def lease(**changes: object) -> Lease:
    """Return a lease of the owner's instance."""
    told = {
        "id": "a",
        "role": "app",
        "role_arn": None,
        "instance": "default",
        "uid": 1000,
        "owner": 1000,
        "user": None,
        "reason": "",
        "narrowed": "",
        "session_name": None,
        "began": START,
        "ends": START,
        "ends_elapsed": timedelta(),
        "held": False,
    }
    return Lease(**(told | changes))


def test_who_sees_a_lease() -> None:
    """Who controls the daemon sees all; others those of their user in their instance, and that which they are in."""
    assert _is_of(ROOT, lease())
    assert _is_of(OWNER, lease(owner=1001))
    assert not _is_of(HELPER, lease())
    assert _is_of(HELPER, lease(instance="agent"))
    assert not _is_of(HELPER, lease(instance="agent", owner=1001))
    inside = Caller(address="127.0.0.1", uid=1000, cgroup="/x/imds-lease-a.scope")
    within = Peer(uid=1000, pid=2, instance=AGENT, control=False, caller=inside)
    assert _is_of(within, lease())
    assert not _is_of(within, lease(id="b"))


async def test_tokens_are_their_instances() -> None:
    """A helper of the same user ends and renews no token of its owner's; the owner may those of its helpers."""
    tokens, kept = ContainerTokens(), []

    async def keep() -> None:
        kept.append(len(tokens.live(START)))

    clock = SimpleNamespace(now=lambda: START)
    daemon = SimpleNamespace(container_tokens=tokens, keep_container_tokens=keep, clock=clock)
    verbs, hour = SimpleNamespace(_daemon=daemon), timedelta(hours=1)
    owners, helpers = (
        tokens.mint(role="viewer", instance=instance, uid=1000, ttl=hour, now=START)[0].id
        for instance in ("default", "agent")
    )
    with pytest.raises(NoSuchPathError):
        await DaemonControls.renew(verbs, HELPER, owners, ttl=hour)
    with pytest.raises(NoSuchPathError):
        await DaemonControls.revoke(verbs, HELPER, owners)
    await DaemonControls.renew(verbs, HELPER, helpers, ttl=hour)
    await DaemonControls.renew(verbs, OWNER, owners, ttl=hour)
    await DaemonControls.revoke(verbs, OWNER, helpers)
    assert kept == [2, 2, 1]
