"""What is asked of STS for a lease: never more than the role gives."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imds.aws.sts import naming_missing_trust
from imds.core.errors import Action, BadRequestError, CredentialsError
from imds.core.narrowing import Narrowing, fit_tag, killing_policy, named, narrowed, read_policy, stamped, tagged
from imds.core.roles import MAX_TAG_VALUE, SESSION_NAME, TAG, RoleSession

ARN = "arn:aws:iam::111122223333:role/app"
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
OTHER = "arn:aws:iam::aws:policy/AmazonS3FullAccess"
ALLOW = {"Effect": "Allow", "Action": "s3:List*", "Resource": "*"}
DENY = {"Sid": "no", "Effect": "Deny", "Action": "s3:Delete*", "Resource": "*"}


def policy(*statements: object, version: str = "2012-10-17") -> str:
    """Return a policy."""
    return json.dumps({"Version": version, "Statement": list(statements)})


def session(**parts: object) -> RoleSession:
    """Return a role's session."""
    return RoleSession(**({"role_arn": ARN, "role_session_name": "alice-laptop"} | parts))


def statements(made: RoleSession) -> list[dict[str, object]]:
    """Return what an inline policy says."""
    return json.loads(made.policy)["Statement"]


def test_a_role_without_policies_is_narrowed_by_the_lease_s() -> None:
    """ReadOnlyAccess of the role's partition, or the policy as it was written."""
    assert narrowed(session(), Narrowing(read_only=True)).policy_arns == (READ_ONLY,)
    china = session(role_arn="arn:aws-cn:iam::111122223333:role/app")
    assert narrowed(china, Narrowing(read_only=True)).policy_arns == ("arn:aws-cn:iam::aws:policy/ReadOnlyAccess",)
    made = narrowed(session(), Narrowing(policy=policy(ALLOW, DENY)))
    assert (statements(made), made.policy_arns) == ([ALLOW, DENY], ())
    assert narrowed(session(), Narrowing()) == session()


OWN = {
    "read_only": {"policy_arns": (READ_ONLY,)},
    "arns": {"policy_arns": (READ_ONLY, OTHER)},
    "policy": {"policy": policy(ALLOW)},
    "both": {"policy": policy(ALLOW), "policy_arns": (OTHER,)},
}


@pytest.mark.parametrize("name", OWN)
def test_the_role_s_own_policies_stay_in_force(name: str) -> None:
    """What they allow and a lease's Allow would add up, so that is refused; denials are added to them."""
    own = session(**OWN[name])
    assert narrowed(own, Narrowing()) == own
    for one in (policy(ALLOW), policy(ALLOW, DENY), policy(DENY, {**ALLOW, "Action": "*"})):
        with pytest.raises(BadRequestError, match="adds up"):
            narrowed(own, Narrowing(policy=one))
    if name == "read_only":
        assert narrowed(own, Narrowing(read_only=True)) == own
    else:
        with pytest.raises(BadRequestError, match="adds up"):
            narrowed(own, Narrowing(read_only=True))
    made = narrowed(own, Narrowing(policy=policy(DENY)))
    assert made.policy_arns == own.policy_arns
    kept = [ALLOW] if own.policy else []
    assert statements(made)[: len(kept)] == kept
    assert [one["Effect"] for one in statements(made)[len(kept) :]] == ["Deny"]


def test_denials_are_read_as_the_role_s_policy_is() -> None:
    """Variables mean something else in the older version, so the two must not be mixed."""
    own = session(policy=policy(ALLOW, version="2008-10-17"))
    with pytest.raises(BadRequestError, match="must have the Version"):
        narrowed(own, Narrowing(policy=policy(DENY)))


WRONG = {
    "no JSON": "{",
    "a list": "[]",
    "no Statement": '{"Version": "2012-10-17"}',
    "no statements": policy(),
    "a statement that is a text": policy("x"),
    "no Effect": policy({"Action": "*"}),
    "an Effect in small letters": policy({**ALLOW, "Effect": "deny"}),
    "a principal": policy({**ALLOW, "Principal": "*"}),
    "an unknown key": '{"Version": "2012-10-17", "Statement": [], "statement": []}',
    "an Effect that stands twice": '{"Statement": [{"Effect": "Deny", "Effect": "Allow", "Action": "*"}]}',
    "a Statement that stands twice": '{"Statement": [], "Statement": [{"Effect": "Allow"}]}',
    "NaN": '{"Statement": [{"Effect": "Allow", "Action": NaN}]}',
    "deep": "[" * 100_000,
    "nothing but denials": policy(DENY),
    "too long": policy(*[ALLOW] * 60),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_policy_that_is_none(name: str) -> None:
    """What AWS might read in another way than we do, or not at all, is refused before it is sent."""
    with pytest.raises(BadRequestError, match=r"policy"):
        narrowed(session(), Narrowing(policy=WRONG[name]))


def test_both_ways_at_once_are_refused() -> None:
    """ReadOnlyAccess and a policy would add up."""
    with pytest.raises(BadRequestError, match="do not go together"):
        narrowed(session(), Narrowing(read_only=True, policy=policy(ALLOW)))


def test_a_single_statement_needs_no_list() -> None:
    """As IAM has it."""
    assert read_policy(json.dumps({"Statement": ALLOW}))["Statement"] == [ALLOW]


@pytest.mark.parametrize("own", ["alice-laptop", "x" * 64, "", None])
def test_the_session_s_name_holds_the_lease(own: str | None) -> None:
    """Whatever the role's own name is, the whole id is in it, and STS takes it."""
    name = named(session(role_session_name=own), "0f3a9c21b7d4").role_session_name
    assert name.endswith("-lease-0f3a9c21b7d4")
    assert SESSION_NAME.fullmatch(name)


def test_stamps_are_what_the_role_says() -> None:
    """Nothing, tags, the source identity, or both; a reason that was not given is left out."""
    told = {"lease_id": "0f3a", "reason": "INC-1: see [wiki]", "user": "älice b"}
    assert stamped(session(), (), **told) == session()
    made = stamped(session(tags=(("team", "a"),)), ("tags", "source_identity"), **told)
    assert made.tags == (
        ("team", "a"),
        ("lease", "0f3a"),
        ("reason", "INC-1: see -wiki-"),
        ("user", "älice b"),
    )
    assert made.source_identity == "-lice-b"
    bare = stamped(session(), ("tags", "source_identity"), lease_id="0f3a", reason="", user="uid-1000")
    assert (bare.tags, bare.source_identity) == ((("lease", "0f3a"), ("user", "uid-1000")), "uid-1000")


@given(st.text(max_size=600))
def test_any_reason_fits(reason: str) -> None:
    """Whatever it says, STS takes it as a tag."""
    fitted = fit_tag(reason)
    assert len(fitted) <= MAX_TAG_VALUE
    assert TAG.fullmatch(fitted)


def test_tags_take_no_other_s_place() -> None:
    """The role's own tags decide what it may do where rights go by tags; no lease changes them."""
    own = session(tags=(("Team", "a"),))
    assert tagged(own, {"ticket": "1"}).tags == (("Team", "a"), ("ticket", "1"))
    for tags in ({"team": "b"}, {"aws:x": "1"}, {"a": "1", "A": "2"}, {"": "1"}, {"a" * 129: "1"}, {"a": "x" * 257}):
        with pytest.raises(BadRequestError, match="tag"):
            tagged(own, tags)
    with pytest.raises(BadRequestError, match="50 tags"):
        tagged(own, {f"t{number}": "" for number in range(50)})


def test_the_policy_that_ends_keys_means_one_lease() -> None:
    """It denies everything to sessions of that one name, and has no wildcard in the name."""
    (one,) = killing_policy("alice-laptop-lease-0f3a9c21b7d4")["Statement"]
    assert one["Effect"] == "Deny"
    assert one["Condition"] == {"StringLike": {"aws:userid": "*:alice-laptop-lease-0f3a9c21b7d4"}}


STAMPED = session(tags=(("lease", "a"),), source_identity="alice")
DENIALS = [
    # what AWS says, of which session, what is added
    ("not authorized to perform: sts:TagSession on resource: x", STAMPED, "must allow sts:TagSession beside"),
    ("not authorized to perform: sts:SetSourceIdentity", STAMPED, "must allow sts:SetSourceIdentity beside"),
    ("not authorized to perform: sts:AssumeRole", STAMPED, "may have to allow sts:TagSession and sts:SetSourceId"),
    ("not authorized to perform: sts:AssumeRole", session(), None),
    ("not authorized to perform: sts:TagSession", session(), None),
]


@pytest.mark.parametrize(("message", "of", "added"), DENIALS)
def test_a_denial_names_the_missing_statement(message: str, of: RoleSession, added: str | None) -> None:
    """What the trust policy lacks is said beside AWS's own words, where we asked for it."""
    error = naming_missing_trust(CredentialsError("AccessDenied", message, action=Action.DENIED), of)
    assert error.action is Action.DENIED
    assert (error.message == message) is (added is None)
    assert error.message.startswith(message)
    assert (added or "") in error.message
