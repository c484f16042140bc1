"""Nothing that opens anything is shown: what a server hands out is noted as it arrives, and masked in every text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from imds.conformance.wire import Reply

SHORTEST: Final = 8
"""Characters of what is worth masking: shorter ones are words that stand anywhere."""

_FIELDS = re.compile(rb'"(SecretAccessKey|Token|AccessKeyId)"\s*:\s*"([^"\\]+)"')
_SHAPES = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}"  # access keys
    r"|[A-Za-z0-9+/_-]{38,}={0,2}"  # secret keys, session tokens
)
_HARMLESS = re.compile(r"(?:[A-Z]?[a-z]*[0-9]{0,4}[/_-]+)*[A-Z]?[a-z]*[0-9]{0,4}")
"""Paths and names of headers: words, where a key has letters of both cases and digits in any order."""


class Secrets:
    """The values that an endpoint has handed out, and those that it was given."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._values: set[str] = set()

    def add(self, value: str) -> None:
        """Mask ``value`` from now on."""
        if len(value) >= SHORTEST:
            self._values.add(value)

    def learn(self, reply: Reply) -> None:
        """Note the secrets in an answer, wherever they are in it."""
        for name, value in _FIELDS.findall(reply.raw):
            text = value.decode("utf-8", "replace")
            self.add(text)
            if name != b"AccessKeyId" and len(text) >= SHORTEST:
                self._keys.add(text)

    @property
    def keys(self) -> frozenset[str]:
        """The secret keys and session tokens of AWS's that were handed out."""
        return frozenset(self._keys)

    def mask(self, text: str) -> str:
        """Return ``text`` without any of them, and without what looks like one."""
        for value in sorted(self._values, key=len, reverse=True):
            text = text.replace(value, "…")
        return _SHAPES.sub(lambda found: found[0] if _HARMLESS.fullmatch(found[0]) else "…", text)
