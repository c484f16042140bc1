"""The virtual instance that a caller sees."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

DEFAULT_INSTANCE = "default"

BEYOND_THIS_HOST = 2
"""The hop limit with which EC2's tokens reach a container. A bridge of this host's own is no hop to the kernel, so the
IP TTL alone would not keep a container out; and silence would cost its client seconds, so it hears 403."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """What the operator says of an instance's metadata; everything else is derived.

    Attributes:
        texts: by path below a version, with ``{variables}``; None takes a path away, and all below it.
        document: fields of the identity document.
        user_data: as it is served.
        notes: what of an imported file is not used, for people.
        files: that it was read from.
    """

    texts: Mapping[str, str | None] = field(default_factory=dict)
    document: Mapping[str, object] = field(default_factory=dict)
    user_data: bytes | None = None
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


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
        enabled: whether the metadata service answers it at all (``http_endpoint``).
        tags_shown: whether tags are in the metadata (``instance_metadata_tags``).
        account_role: the role in whose account the instance is, whichever is attached.
        identity_role: whose credentials ``identity-credentials/ec2`` has; None leaves them out.
        overlay: what the operator says of its metadata.
        told_lifetime: simulated: how long its credentials live by what their documents say; None is the truth.
    """

    name: str
    role: str | None
    roles: frozenset[str]
    token_required: bool = True
    hop_limit: int = 1
    control: bool = False
    enabled: bool = True
    tags_shown: bool = True
    account_role: str | None = None
    identity_role: str | None = None
    overlay: Overlay = field(default_factory=Overlay)
    told_lifetime: timedelta | None = None
