"""``{session_token: {profile: NAME}}``, and ``{profile: NAME, mfa_serial: ARN}``: GetSessionToken."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from imds.config.sources import mfa
from imds.config.sources.keys import FromKeys, read_keys
from imds.config.sources.kind import SourceKind
from imds.config.sources.profile import FromProfile, read_profile
from imds.core.asking import Asking
from imds.core.roles import MAX_SESSION_TOKEN_DURATION, MIN_DURATION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.config.document import Node

DEFAULT_DURATION = timedelta(hours=12)


@dataclass(frozen=True, slots=True, kw_only=True)
class FromSessionToken(SourceKind):
    """A session of long-term keys; with ``mfa_serial`` a person gives a code for it.

    How it is asked for does not tell two sources apart: one code opens all roles with these keys and this device.
    """

    kind = "session_token"
    temporary = True
    keys: FromProfile | FromKeys
    mfa_serial: str | None = None
    duration: timedelta = DEFAULT_DURATION
    asking: Asking = field(default=Asking(), compare=False)

    @property
    def takes_codes(self) -> bool:
        """Whether it has a device."""
        return self.mfa_serial is not None

    @property
    def programs(self) -> tuple[str, ...]:
        """The program that prints codes."""
        return self.asking.command[:1] if self.asking.command else ()

    def __str__(self) -> str:
        return f"a session of {self.keys}" + (" with MFA" if self.mfa_serial else "")


def read_session_token(node: Node) -> FromSessionToken | None:
    """Return the value of ``session_token``."""
    entries = node.section("profile", "keys", "duration", *mfa.KEYS)
    keys, duration = read_long_term(node, entries), read_duration(entries)
    serial = mfa.read_serial(entries[mfa.SERIAL]) if mfa.SERIAL in entries else None
    asking = mfa.read_asking(entries)
    return FromSessionToken(keys=keys, mfa_serial=serial, duration=duration, asking=asking) if keys else None


def read_with_mfa(beside: Mapping[str, Node], kind: str, entry: Node) -> FromSessionToken | None:
    """Return a source with ``mfa_serial`` and its like beside ``profile`` or ``keys``."""
    if kind not in ("profile", "keys"):
        why = f"goes with profile or keys, since AWS takes a code with long-term keys only, not with {kind}"
        next(iter(beside.values())).wrong(why)
        return None
    keys = read_profile(entry) if kind == "profile" else read_keys(entry)
    asking = mfa.read_asking(beside)
    device = mfa.read_serial(beside[mfa.SERIAL]) if mfa.SERIAL in beside else None
    return FromSessionToken(keys=keys, mfa_serial=device, asking=asking) if keys and device else None


def read_long_term(node: Node, entries: Mapping[str, Node]) -> FromProfile | FromKeys | None:
    """Return where the long-term keys of a section are."""
    named = [key for key in ("profile", "keys") if key in entries]
    if len(named) != 1:
        node.wrong("must have exactly one of profile, keys: where the long-term keys are")
        return None
    return read_profile(entries["profile"]) if named == ["profile"] else read_keys(entries["keys"])


def read_duration(entries: Mapping[str, Node]) -> timedelta:
    """Return how long such a session lives: 12 hours unless said otherwise."""
    given = entries["duration"].duration(MIN_DURATION, MAX_SESSION_TOKEN_DURATION) if "duration" in entries else None
    return given or DEFAULT_DURATION
