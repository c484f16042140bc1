"""How the end of a lease or an activation is told, and what AWS itself has to do beyond it."""

from __future__ import annotations

import json
import shlex
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def ended_lines(ended: dict[str, Any], *, what: str) -> Iterator[str]:
    """Yield what people should know of a lease or activation that has ended."""
    yield f"{what} {ended['id']} of role {ended['role']} has ended: {ended['why']}"
    if ended["keys_work_until"] is None:
        yield "nobody was ever given its keys, so there is nothing else to do"
        return
    until = datetime.fromisoformat(ended["keys_work_until"]).astimezone()
    yield f"keys that it was given work until {until:%Y-%m-%d %H:%M:%S}; this policy on the role ends them before:"
    name = f"imds-revoke-{ended['id']}"
    yield f"  {put_policy(ended['role_arn'] or ended['role'], name, ended['policy'])}"
    yield "it may go once they have ended; what was assumed with them meanwhile, in other roles, it does not end"


def put_policy(role_arn: str, name: str, policy: dict[str, Any]) -> str:
    """Return the command that puts a policy on a role."""
    role = role_arn.rpartition("/")[2]
    return (
        f"aws iam put-role-policy --role-name {shlex.quote(role)} --policy-name {name} "
        f"--policy-document {shlex.quote(json.dumps(policy))}"
    )
