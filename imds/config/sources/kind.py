"""What every kind of source says of itself."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NARROWING_KEYS = ("policy", "policy_arns", "read_only")
STAMPING_KEYS = ("external_id", "tags", "transitive_tags", "source_identity", "stamp")
_NOT_TAKEN = "is nothing that STS takes with a token or an assertion"
SET_BY_PROVIDER = MappingProxyType(
    dict.fromkeys(STAMPING_KEYS, f"{_NOT_TAKEN}: the identity provider sets it")
    | {"external_id": f"{_NOT_TAKEN}: the role's trust policy tells callers apart by what the provider says"}
)


class SourceKind:
    """A role's ``source``, as configured.

    Attributes:
        kind: the key of the configuration.
        temporary: whether its credentials are always a session, so that AWS counts a role assumed with them as chained.
        needs_role: whether it has no session of its own that could be served.
        takes_no_role: why no role can be assumed with it; None where one can.
        names_session: whether whoever vouches for us names the session, unless the configuration may and does.
        not_taken: keys of a role that its way to assume one does not know, and why.
    """

    __slots__ = ()
    kind: ClassVar[str]
    temporary: ClassVar[bool] = False
    needs_role: ClassVar[bool] = False
    takes_no_role: ClassVar[str | None] = None
    names_session: ClassVar[bool] = False
    not_taken: ClassVar[Mapping[str, str]] = MappingProxyType({})

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it says something else by when they change."""
        return ()

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs that it runs."""
        return ()

    @property
    def takes_codes(self) -> bool:
        """Whether it may ask for MFA codes."""
        return False

    @property
    def waits_for(self) -> str | None:
        """What a person has to do when it has nothing to say, where its errors do not tell; "waiting for …"."""
        return None
