"""Who may have what."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from imds.core.policy import Caller, Decision, Match, Rule, decide

ALICE = Caller(address="127.0.0.1", uid=1000, user="alice")
NOBODY_KNOWS = Caller(address="10.0.0.7")


def rule(*users: int | str, instance: str | None = "default", refuse: str | None = None) -> Rule:
    """Return a rule."""
    return Rule(match=Match(users=users), instance=instance, refuse=refuse, text=f"user: {list(users)}")


def test_the_first_rule_that_matches_decides() -> None:
    """Rules are read from the top; the decision names the rule."""
    decision = decide(ALICE, (rule("bob"), rule("al*", instance="one"), rule(1000, instance="two")))
    assert decision == Decision(instance="one", because="rule 2 (user: ['al*'])")


def test_without_a_match_nothing_is_given() -> None:
    """No rules, or none that matches, is a refusal."""
    assert decide(ALICE, ()).instance is None
    assert decide(ALICE, (rule("bob"), rule(1001))) == Decision(instance=None, because="no rule matches")


def test_a_refusal_gives_its_reason() -> None:
    """A rule that refuses ends the search, and its reason is in the explanation."""
    decision = decide(ALICE, (rule("alice", instance=None, refuse="not on this machine"), rule("alice")))
    assert decision.instance is None
    assert decision.because.endswith(": not on this machine")


def test_the_unknown_never_widens() -> None:
    """Who is not known to be meant is refused at once, whatever later rules say; uid 0 and None differ."""
    decision = decide(NOBODY_KNOWS, (rule("bob"), rule("*")))
    assert decision.instance is None
    assert "not known" in decision.because
    assert decide(NOBODY_KNOWS, (rule(0),)).instance is None
    assert decide(Caller(address="127.0.0.1", uid=0, user="root"), (rule(0),)).instance == "default"


def test_a_user_without_a_name_matches_by_number_only() -> None:
    """No name pattern but ``*`` means a uid without an entry."""
    unnamed = Caller(address="127.0.0.1", uid=4711)
    assert decide(unnamed, (rule("?*"),)).instance is None
    assert decide(unnamed, (rule(4711),)).instance == "default"
    assert decide(unnamed, (rule("4711"),)).instance is None


def test_names_have_a_case() -> None:
    """``Alice`` is not ``alice``."""
    assert decide(ALICE, (rule("Alice"),)).instance is None


def slow_decide(caller: Caller, rules: tuple[Rule, ...]) -> str | None:
    """Say it again, obviously."""
    for one in rules:
        if caller.uid is None:
            return None
        for user in one.match.users:
            if isinstance(user, int):
                if user == caller.uid:
                    return one.instance
            else:
                pattern = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in user)
                if re.fullmatch(pattern, caller.user or "", re.DOTALL):
                    return one.instance
    return None


USERS = st.one_of(st.integers(0, 4), st.text(alphabet="ab*?", max_size=3))
CALLERS = st.builds(
    Caller,
    address=st.just("127.0.0.1"),
    uid=st.one_of(st.none(), st.integers(0, 4)),
    user=st.one_of(st.none(), st.text(alphabet="ab", min_size=1, max_size=3)),
)
RULES = st.lists(
    st.builds(
        lambda users, instance: rule(*users, instance=instance),
        st.lists(USERS, min_size=1, max_size=3),
        st.sampled_from([None, "one", "two"]),
    ),
    max_size=4,
).map(tuple)


@given(CALLERS, RULES)
def test_decide_equals_its_slow_and_obvious_twin(caller: Caller, rules: tuple[Rule, ...]) -> None:
    """For any caller and rules both give the same instance, with an explanation."""
    decision = decide(caller, rules)
    assert decision.instance == slow_decide(caller, rules)
    assert decision.because


def test_a_caller_is_named_for_people() -> None:
    """The log says who it was as far as that is known."""
    assert [str(ALICE), str(Caller(address="127.0.0.1", uid=7)), str(NOBODY_KNOWS)] == [
        "alice (uid 1000)",
        "user (uid 7)",
        "unknown process at 10.0.0.7",
    ]
