"""``{assume_root: {profile: NAME, target_principal: ACCOUNT, task_policy_arn: ARN}}``: root of a member account.

Source: IAM user guide, "Perform a privileged task on an AWS Organizations member account".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imds.config.sources.keys import FromKeys, read_keys
from imds.config.sources.kind import SourceKind
from imds.config.sources.profile import FromProfile, read_profile
from imds.config.sources.reading import missing
from imds.config.sources.role import FromRole, read_other_role
from imds.core.patterns import ACCOUNT_ID

if TYPE_CHECKING:
    from imds.config.document import Node

TASK_POLICY_ARN = re.compile(r"arn:aws[a-z-]*:iam::aws:policy/root-task/[\w+=,.@-]{1,64}", re.ASCII)
BASES = ("profile", "keys", "role")


@dataclass(frozen=True, slots=True, kw_only=True)
class FromAssumeRoot(SourceKind):
    """Root sessions of a member account, for one task, with the credentials of the management account."""

    kind = "assume_root"
    takes_no_role = "a root session is served as it is"
    temporary = True
    base: FromProfile | FromKeys | FromRole
    target_principal: str
    task_policy_arn: str

    def __str__(self) -> str:
        return f"root of {self.target_principal} by {self.base}"


def read_assume_root(node: Node, name: str, names: tuple[str, ...]) -> FromAssumeRoot | None:
    """Return the value of ``assume_root`` of the role ``name``."""
    entries = node.section(*BASES, "target_principal", "task_policy_arn")
    named = [key for key in BASES if key in entries]
    if len(named) != 1:
        node.wrong(f"must have exactly one of {', '.join(BASES)}: who may call AssumeRoot")
        return None
    if missing(node, entries, "target_principal", "task_policy_arn"):
        return None
    base = _read_base(named[0], entries[named[0]], name, names)
    account = entries["target_principal"].matching(ACCOUNT_ID, "an account's id of twelve digits")
    what = "one of AWS's root task policies (arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials)"
    policy = entries["task_policy_arn"].matching(TASK_POLICY_ARN, what)
    if base is None or account is None or policy is None:
        return None
    return FromAssumeRoot(base=base, target_principal=account, task_policy_arn=policy)


def _read_base(kind: str, node: Node, name: str, names: tuple[str, ...]) -> FromProfile | FromKeys | FromRole | None:
    match kind:
        case "profile":
            return read_profile(node)
        case "keys":
            return read_keys(node)
    return read_other_role(node, name, names)
