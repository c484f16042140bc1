"""What answers clients: the service, and the policy by which it does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imds.core.limits import RateLimit
from imds.web.container_credentials import ContainerCredentials
from imds.web.guards import Guards
from imds.web.instance_metadata import InstanceMetadata
from imds.web.service import Policy, Service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.daemon import Daemon


def build_service(daemon: Daemon) -> Service:
    """Return what answers the clients of a daemon."""
    metadata = InstanceMetadata(
        store=daemon.store,
        leases=daemon.leasing.leases,
        clock=daemon.clock,
        tokens=daemon.session_tokens,
        trees=daemon.trees,
        uses=daemon.uses,
        hop_away=daemon.hop_away,
    )
    containers = ContainerCredentials(
        store=daemon.store,
        clock=daemon.clock,
        tokens=daemon.container_tokens,
        leases=daemon.leasing.leases,
        uses=daemon.uses,
        token_required=lambda: daemon.config.require_container_token,
    )
    return Service(
        policy=build_policy(daemon, {}),
        metadata=metadata,
        containers=containers,
        clock=daemon.clock,
        simulations=daemon.simulations,
        audit=daemon.audit,
    )


def build_policy(daemon: Daemon, used: Mapping[str, str]) -> Policy:
    """Return what the configuration says of callers.

    Args:
        daemon: whose.
        used: the roles that instances list at somebody's wish (``imds use``), by instance.
    """
    config, instances = daemon.config, dict(daemon.config.instances)
    for name, role in used.items():
        if name in instances and role in instances[name].roles:
            instances[name] = replace(instances[name], role=role, account_role=role)
    return Policy(
        rules=config.callers,
        instances=instances,
        guards=Guards(hosts=config.allowed_hosts),
        rate_limit=RateLimit(config.rate_limit),
        leases=daemon.leasing.leases,
        allow_faults=config.allow_faults,
    )
