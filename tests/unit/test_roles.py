"""Names and limits of roles; ours equal STS's own."""

from __future__ import annotations

import re
import string
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from botocore.loaders import Loader
from hypothesis import given
from hypothesis import strategies as st

from imds.core import roles


@cache
def shapes() -> dict[str, Any]:
    """Return STS's service model."""
    return Loader().load_service_model("sts", "service-2")["shapes"]


def parameter(name: str) -> dict[str, Any]:
    """Return the shape of a parameter of AssumeRole."""
    return shapes()[shapes()["AssumeRoleRequest"]["members"][name]["shape"]]


def test_our_limits_are_those_of_sts() -> None:
    """Durations, lengths and counts equal botocore's service model."""
    duration, tags = parameter("DurationSeconds"), parameter("Tags")
    assert timedelta(seconds=duration["min"]) == roles.MIN_DURATION
    assert timedelta(seconds=duration["max"]) == roles.MAX_DURATION
    assert tags["max"] == roles.MAX_TAGS
    tag = shapes()[tags["member"]["shape"]]["members"]
    assert shapes()[tag["Key"]["shape"]]["max"] == roles.MAX_TAG_KEY
    assert shapes()[tag["Value"]["shape"]]["max"] == roles.MAX_TAG_VALUE


CHARACTERS = [chr(code) for code in range(1, 0x250)]


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("RoleSessionName", roles.SESSION_NAME),
        ("ExternalId", roles.EXTERNAL_ID),
        ("SourceIdentity", roles.SESSION_NAME),
    ],
)
def test_our_alphabets_are_those_of_sts(name: str, ours) -> None:
    """Character by character and by length, ours takes what AWS's pattern takes (which means ASCII by ``\\w``)."""
    shape = parameter(name)
    theirs = re.compile(shape["pattern"], re.ASCII)
    for character in CHARACTERS:
        assert bool(ours.fullmatch(character * 2)) == bool(theirs.fullmatch(character * 2)), repr(character)
    for length in (shape["min"] - 1, shape["min"], shape["max"], shape["max"] + 1):
        assert bool(ours.fullmatch("a" * length)) == (shape["min"] <= length <= shape["max"])


@pytest.mark.parametrize(
    ("arn", "expected"),
    [
        ("arn:aws:iam::111122223333:role/app", ("aws", "111122223333", "app")),
        ("arn:aws-cn:iam::111122223333:role/app", ("aws-cn", "111122223333", "app")),
        (
            "arn:aws-us-gov:iam::111122223333:role/a/b/my+role@x=1,a.b_c-d",
            ("aws-us-gov", "111122223333", "my+role@x=1,a.b_c-d"),
        ),
        ("arn:aws:iam::11112222333:role/app", None),
        ("arn:aws:iam::111122223333:role/", None),
        ("arn:aws:iam::111122223333:role/app\n", None),
        ("arn:aws:iam::111122223333:role/" + "a" * 65, None),
        ("arn:aws:iam::111122223333:role/../x y", None),
        ("arn:aws:iam::١١١١٢٢٢٢٣٣٣٣:role/app", None),
        ("arn:aws:iam::111122223333:user/app", None),
        ("arn:aws:sts::111122223333:assumed-role/app/x", None),
        ("", None),
    ],
)
def test_role_arns(arn: str, expected: tuple[str, str, str] | None) -> None:
    """What is a role's ARN gives its parts, all else None."""
    assert roles.parse_role_arn(arn) == expected


@pytest.mark.parametrize(
    ("caller", "identity"),
    [
        ("arn:aws:sts::111122223333:assumed-role/app/me", "arn:aws:iam::111122223333:role/app"),
        ("arn:aws-cn:sts::111122223333:assumed-role/app/me@x", "arn:aws-cn:iam::111122223333:role/app"),
        ("arn:aws:iam::111122223333:user/me", "arn:aws:iam::111122223333:user/me"),
        ("arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:root"),
    ],
)
def test_the_identity_behind_a_session(caller: str, identity: str) -> None:
    """An assumed role's session belongs to its role, anything else to itself."""
    assert roles.identity_arn(caller) == identity


@given(st.text(max_size=100))
def test_every_text_fits_into_a_session_name(text: str) -> None:
    """Whatever a host or user is called, STS takes what we make of it."""
    assert roles.SESSION_NAME.fullmatch(roles.fit_session_name(text))


@given(st.text(alphabet=string.ascii_letters + string.digits + "_+=,.@-", min_size=2, max_size=64))
def test_what_fits_stays_as_it_is(text: str) -> None:
    """A good session name is not touched."""
    assert roles.fit_session_name(text) == text
