"""From what a lease asks for to what STS is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imds.core import narrowing
from imds.core.errors import BadRequestError

if TYPE_CHECKING:
    from imds.config.schema import Role
    from imds.core.roles import RoleSession
    from imds.web.leases import LeaseRequest


def lease_session(name: str, role: Role, asked: LeaseRequest, *, lease_id: str, user: str) -> RoleSession:
    """Return what is asked of STS for a lease of a role.

    Raises:
        BadRequestError: AWS knows no such session.
    """
    session = narrowing.narrowed(_assumable(name, role), asked.narrowing)
    if asked.tags and "tags" in role.source.not_taken:
        raise BadRequestError(f"role {name} takes no tags: its identity provider sets them")
    session = narrowing.stamped(session, role.stamp, lease_id=lease_id, reason=asked.reason, user=user)
    return narrowing.named(narrowing.tagged(session, asked.tags), lease_id)


def activation_session(name: str, role: Role, *, lease_id: str, reason: str, user: str) -> RoleSession:
    """Return what is asked of STS for an activation of a break-glass role.

    Raises:
        BadRequestError: AWS knows no such session.
    """
    session = narrowing.stamped(_assumable(name, role), role.stamp, lease_id=lease_id, reason=reason, user=user)
    return narrowing.named(session, lease_id, what="activation")


def _assumable(name: str, role: Role) -> RoleSession:
    """Return the session of a role that AWS can narrow and name.

    Raises:
        BadRequestError: there is none: it is a source's own session, or named by an identity provider.
    """
    if role.session is not None and not role.source.names_session:
        return role.session
    if role.source.takes_no_role is not None:
        raise BadRequestError(
            f"role {name} cannot be leased: {role.source} gives a session that AWS neither narrows nor names "
            f"({role.source.takes_no_role})"
        )
    raise BadRequestError(
        f"role {name} cannot be leased: AWS narrows and names only the sessions of a role that is assumed with keys or "
        f"an OIDC token. Configure one for leases: {{role_arn: ARN, source: {{role: {name}}}}}"
    )
