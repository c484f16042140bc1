"""What every kind of source says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pathlib import Path


class SourceKind:
    """A role's ``source``, as configured.

    Attributes:
        kind: the key of the configuration.
        temporary: whether its credentials are always a session, so that AWS counts a role assumed with them as chained.
        needs_role: whether it has no session of its own that could be served.
    """

    __slots__ = ()
    kind: ClassVar[str]
    temporary: ClassVar[bool] = False
    needs_role: ClassVar[bool] = False

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it says something else by when they change."""
        return ()

    @property
    def waits_for(self) -> str | None:
        """What a person has to do when it has nothing to say, where its errors do not tell; "waiting for …"."""
        return None
