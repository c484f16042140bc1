"""``{profile: NAME}``: anything that ``~/.aws`` can say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imds.config.sources.kind import SourceKind

if TYPE_CHECKING:
    from imds.config.document import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class FromProfile(SourceKind):
    """A profile; None is AWS's default chain."""

    kind = "profile"
    profile: str | None

    def __str__(self) -> str:
        return f"profile {self.profile}" if self.profile else "the default credentials"

    @property
    def takes_codes(self) -> bool:
        """Whether it may: only the profile itself says whether it has a device."""
        return True


def read_profile(node: Node) -> FromProfile | None:
    """Return the value of ``profile``."""
    profile = node.text(what="the name of a profile of ~/.aws")
    return FromProfile(profile=profile) if profile is not None else None
