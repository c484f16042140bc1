"""The virtual instance that a caller sees."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_INSTANCE = "default"

BEYOND_THIS_HOST = 2
"""The hop limit with which EC2's tokens reach a container. A bridge of this host's own is no hop to the kernel, so the
IP TTL alone would not keep a container out; and silence would cost its client seconds, so it hears 403."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One virtual EC2 instance.

    Attributes:
        name: as in the configuration.
        role: the role that the listing shows; None means an instance without a role.
        roles: every role that may be asked for by name, ``role`` included.
        token_required: IMDSv2 only (``http_tokens: required``).
        hop_limit: how many hosts far a token travels (``http_put_response_hop_limit``).
        control: whether who sees it may control the daemon over its socket.
    """

    name: str
    role: str | None
    roles: frozenset[str]
    token_required: bool = True
    hop_limit: int = 1
    control: bool = False
