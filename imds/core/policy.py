"""Who may have what: the first rule that matches a caller decides, no match is refused, unknown never widens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imds.core.callers import NOTHING
from imds.core.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imds.core.callers import Caller, Fact
    from imds.core.matching import Match


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
    """What a caller sees, and because of what.

    Attributes:
        instance: None is a refusal.
        because: the rule, for people.
        rule: its number from 1; None where no rule decides.
        wants: facts that have not been looked up and could decide otherwise.
        unknown: whether it is a refusal because a rule asks for what is not known.
    """

    instance: str | None
    because: str
    rule: int | None = None
    wants: frozenset[Fact] = NOTHING
    unknown: bool = False

    @property
    def refusal(self) -> Refusal:
        """The kind of refusal that it is."""
        if self.unknown:
            return Refusal.UNKNOWN
        return Refusal.RULE if self.rule is not None else Refusal.NO_RULE


def decide(caller: Caller, rules: tuple[Rule, ...]) -> Decision:
    """Return what ``caller`` gets.

    Where a fact is unknown and a rule asks for it, the caller is refused unless every outcome that remains is the same.
    """
    possible = list(_possible(caller, rules))
    if len({decision.instance for decision in possible}) == 1:
        return possible[0]
    first = possible[0]
    why = f"rule {first.rule} ({rules[(first.rule or 1) - 1].text}) asks for what is not known of it"
    undecided = (rules[decision.rule - 1].match for decision in possible if decision.rule is not None)
    wants = NOTHING.union(*(match.lacks(caller) for match in undecided)) - caller.looked_up
    return Decision(instance=None, because=why, rule=first.rule, wants=wants, unknown=True)


def _possible(caller: Caller, rules: tuple[Rule, ...]) -> Iterator[Decision]:
    """Yield the outcomes that the facts leave possible, in the order of the rules."""
    for number, rule in enumerate(rules, start=1):
        matched = rule.match.matches(caller)
        if matched is False:
            continue
        because = f"rule {number} ({rule.text})" + (f": {rule.refuse}" if rule.refuse else "")
        yield Decision(instance=rule.instance, because=because, rule=number)
        if matched:
            return
    yield Decision(instance=None, because="no rule matches")
