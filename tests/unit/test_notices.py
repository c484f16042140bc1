"""A notice's texts are harmless, whoever chose them, and templates know names and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import START

from imds.core.notices import LONGEST_MESSAGE, SUBJECTS, VARIABLES, Notice, mistake_in

NOTICE = Notice(
    event="activated",
    at=START,
    role="admin",
    role_arn="arn:aws:iam::111122223333:role/admin",
    id="a1b2c3",
    user="alice",
    uid=1000,
    instance="default",
    reason="INC-1234 the queue is stuck",
    ends=START + timedelta(minutes=30),
    because="approved by bob",
    host="laptop",
    region="eu-west-1",
    account_id="111122223333",
)
TEXTS = ("role", "role_arn", "id", "user", "instance", "reason", "because", "host", "region", "account_id")


def test_what_people_read() -> None:
    """The subject says what has happened, and every line after it one thing that is known."""
    assert NOTICE.text().splitlines() == [
        "alice has activated break-glass role admin on laptop",
        "Reason: INC-1234 the queue is stuck",
        "Because: approved by bob",
        "Role: arn:aws:iam::111122223333:role/admin",
        "Until: 2030-01-01T12:30:00Z",
        "Instance: default",
        "Id: a1b2c3",
        "User: alice (uid 1000)",
        "Time: 2030-01-01T12:00:00Z",
    ]
    bare = Notice(event="waiting", at=START, role="app", user="alice", uid=1000, host="laptop")
    assert bare.text().splitlines()[1:] == ["User: alice (uid 1000)", "Time: 2030-01-01T12:00:00Z"]


@pytest.mark.parametrize("event", SUBJECTS)
def test_every_event_has_its_words(event: str) -> None:
    """Each names the role and the host; who is asked to approve learns how."""
    notice = replace(NOTICE, event=event)
    assert "admin" in notice.subject()
    assert notice.subject().endswith(" on laptop")
    assert ("imds approve a1b2c3" in notice.text()) is (event == "asked")


def test_event_that_there_is_not() -> None:
    """A notice of something else cannot be made."""
    with pytest.raises(ValueError, match="is no event"):
        replace(NOTICE, event="exploded")


def test_what_programs_read() -> None:
    """JSON has every name, and null where nothing is known."""
    told = NOTICE.to_json()
    assert set(told) == set(VARIABLES)
    assert (told["uid"], told["time"], told["ends"]) == (1000, "2030-01-01T12:00:00Z", "2030-01-01T12:30:00Z")
    unknown = replace(NOTICE, ends=None, region=None, reason="").to_json()
    assert (unknown["ends"], unknown["region"], unknown["reason"]) == (None, None, None)


@given(st.sampled_from(TEXTS), st.text(max_size=2000))
def test_no_text_makes_a_line_of_its_own(name: str, text: str) -> None:
    """Whatever stands in one of the texts, there are as many lines, all printable, and none is endless."""
    notice = replace(NOTICE, **{name: text or "x"})
    lines = notice.text().split("\n")
    assert len(lines) == 9
    assert all(line.isprintable() and len(line) < 1300 for line in lines)
    assert notice.text().splitlines() == lines
    json.dumps(notice.to_json()).encode()
    notice.message("{reason}").encode()


def test_template_is_filled_in_once() -> None:
    """What a name stands for is not looked through for names."""
    notice = replace(NOTICE, reason="{user} {{role}} {because}", user="{reason}")
    assert notice.message("{user} took {role}: {reason} {{role}}") == (
        "{reason} took admin: {user} {{role}} {because} {role}"
    )
    assert replace(NOTICE, region=None).message("[{region}]") == "[]"
    assert replace(NOTICE, reason="").message(" {reason}\n") == NOTICE.subject()


def test_template_that_makes_much_of_it() -> None:
    """A message is bounded, whatever a template makes of it."""
    notice = replace(NOTICE, reason="x" * 5000)
    assert len(notice.reason) == 1000
    assert len(notice.message("{reason}" * 200)) == LONGEST_MESSAGE


@pytest.mark.parametrize(
    ("template", "mistake"),
    [
        *((f"{{{name}}}", None) for name in VARIABLES),
        ("plain", None),
        ("{{role}} and {role}", None),
        ("{role.name}", "{role.name} stands for nothing"),
        ("{role[0]}", "{role[0]} stands for nothing"),
        ("{role!r}", "{role!r} stands for nothing"),
        ("{role:>10}", "{role:>10} stands for nothing"),
        ("{}", "{} stands for nothing"),
        ("{rol}", "{rol} stands for nothing; there are: {event}"),
        ("{{{role}}}", "has a brace"),
        ("{", "has a brace"),
        ("}", "has a brace"),
        ('{"a": 1}', "stands for nothing"),
    ],
)
def test_template_of_an_operator(template: str, mistake: str | None) -> None:
    """Names alone stand for anything; everything else in braces is a mistake."""
    found = mistake_in(template)
    assert found is None if mistake is None else mistake in (found or "")
