"""Who may have what: the first rule that matches a caller decides, no match is refused, unknown never widens."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

ANYBODY = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The process at the other end of a connection, as the kernel knows it.

    Attributes:
        address: its IP address.
        uid: user id of the socket's creator; None when the kernel knows no such socket here, which means the peer
            is on another host, in another network namespace, or already gone.
        user: that user's name, None where it has none.
    """

    address: str
    uid: int | None = None
    user: str | None = None

    def __str__(self) -> str:
        if self.uid is None:
            return f"unknown process at {self.address}"
        return f"{self.user or 'user'} (uid {self.uid})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a rule asks of a caller.

    Attributes:
        users: uids, or user names with ``*`` and ``?``; any of them.
    """

    users: tuple[int | str, ...]

    def matches(self, caller: Caller) -> bool | None:
        """Return whether ``caller`` is meant, None when that cannot be known."""
        if caller.uid is None:
            return None
        found = [_is(user, caller) for user in self.users]
        if True in found:
            return True
        return None if None in found else False


def _is(user: int | str, caller: Caller) -> bool | None:
    if isinstance(user, int):
        return user == caller.uid
    if caller.user is None and user != ANYBODY:
        return None  # a uid without a name may be meant by any pattern of names
    return fnmatchcase(caller.user or "", user)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One entry of ``callers``: an instance, or a refusal with its reason.

    Attributes:
        text: the rule as the operator wrote it, for explanations.
    """

    match: Match
    instance: str | None = None
    refuse: str | None = None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a caller sees, and because of what."""

    instance: str | None
    because: str


def decide(caller: Caller, rules: tuple[Rule, ...]) -> Decision:
    """Return what ``caller`` gets."""
    for number, rule in enumerate(rules, start=1):
        matched = rule.match.matches(caller)
        if matched is None:
            return Decision(instance=None, because=f"rule {number} ({rule.text}) asks for what is not known of it")
        if matched:
            because = f"rule {number} ({rule.text})" + (f": {rule.refuse}" if rule.refuse else "")
            return Decision(instance=rule.instance, because=because)
    return Decision(instance=None, because="no rule matches")
