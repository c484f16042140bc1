"""A client's request, as far as anyone here looks at it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes, urlsplit

from imds.core.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.core.callers import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request.

    Attributes:
        method: as sent.
        target: as sent: a path, or an absolute URL where a proxy setting leaked.
        headers: case-insensitive; the first of each name.
        has_body: whether bytes follow the head.
        caller: who sends it.
        local_address: the address of ours that it came to.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    has_body: bool
    caller: Caller
    local_address: str

    @property
    def authority(self) -> str | None:
        """The host in an absolute target, None in a plain path.

        Raises:
            BadRequestError: the target is neither.
        """
        if self.target.startswith("/"):
            return None
        try:
            parts = urlsplit(self.target)
        except ValueError as error:
            raise BadRequestError("the target is not a URL") from error
        if parts.scheme != "http" or not parts.netloc:
            raise BadRequestError("the target is neither a path nor an http URL")
        return parts.netloc.rpartition("@")[2]

    @property
    def segments(self) -> tuple[str, ...]:
        """The path: query dropped, percent-decoded once, runs of slashes collapsed; what is not text names nothing.

        Raises:
            BadRequestError: the target is neither a path nor a URL.
        """
        target = self.target.partition("?")[0].partition("#")[0]
        if self.authority is not None:
            target = target.partition("://")[2].partition("/")[2]
        return _split(target) if len(target) <= LONGEST_KEPT else _split.__wrapped__(target)


LONGEST_KEPT = 256
"""Characters of a path that is worth remembering; clients ask for the same few."""


@lru_cache(maxsize=512)
def _split(path: str) -> tuple[str, ...]:
    text = unquote_to_bytes(path.encode("utf-8", "surrogateescape")).decode(errors="replace")
    return tuple(segment for segment in text.split("/") if segment)
