"""Session policies: written out, by ARN, or by the shorthand ``read_only``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from imds.core import roles as sts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.config.document import Node


def read_policy(node: Node | None) -> str | None:
    """Return a session policy as compact JSON."""
    if node is None:
        return None
    policy = node.plain()
    if not isinstance(policy, dict) or "Statement" not in policy:
        node.wrong("has no Statement: it must be an IAM policy document")
        return None
    try:
        text = json.dumps(policy, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError):
        node.wrong('has a value that JSON cannot hold (quote dates: Version: "2012-10-17")')
        return None
    if len(text) > sts.MAX_POLICY:
        node.wrong(f"has {len(text)} characters as JSON; STS takes {sts.MAX_POLICY}: use policy_arns")
    return text


def read_policy_arns(node: Node | None) -> tuple[str, ...]:
    """Return the ARNs of managed policies."""
    mistakes = len(node.problems.found) if node is not None else 0
    items = node.items() if node is not None else []
    if node is not None and not items and len(node.problems.found) == mistakes:
        node.wrong("names no policy")
    if node is not None and len(items) > sts.MAX_POLICY_ARNS:
        node.wrong(f"has {len(items)} entries; STS takes {sts.MAX_POLICY_ARNS}")
    what = "a policy's ARN (arn:aws:iam::aws:policy/ReadOnlyAccess)"
    return tuple(arn for item in items if (arn := item.matching(sts.POLICY_ARN, what)))


def read_only(entries: Mapping[str, Node], role_arn: str | None) -> tuple[str, ...]:
    """Return the ARN of AWS's ReadOnlyAccess where ``read_only`` says true.

    What several session policies allow adds up, so a role that is read-only has no other.
    """
    node = entries.get("read_only")
    if node is None or not node.boolean():
        return ()
    if others := [key for key in ("policy", "policy_arns") if key in entries]:
        node.wrong(f"does not go with {' and '.join(others)}: what several session policies allow adds up")
    return (sts.read_only_policy(role_arn),)
