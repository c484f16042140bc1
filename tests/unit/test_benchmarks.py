"""The arithmetic and the tables of ``benchmarks``; nothing here is timed."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # it is not installed

from benchmarks import load, report
from benchmarks.fake_sts import answer
from benchmarks.references import _split
from benchmarks.report import Figure, Goal


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([1.0], 50, 1.0), ([3.0, 1.0, 2.0], 50, 2.0), (list(range(1, 101)), 99, 99), (list(range(1, 101)), 100, 100)],
)
def test_percentile(values, percent, expected):
    """A percentile is the nearest rank, whatever the order."""
    assert report.percentile(values, percent) == expected


def test_percentile_of_nothing():
    """Of no values there is none, and that is not a zero."""
    assert math.isnan(report.percentile([], 50))


def test_ratios_are_taken_within_a_round():
    """A noisy round, in which everything is slower, does not change a ratio."""
    compared = report.compare({"imds": [2.0, 20.0, 9.0], "app": [1.0, 10.0, 1.0]}, "imds")
    assert compared == {"imds": (9.0, 1.0), "app": (1.0, 2.0)}


@pytest.mark.parametrize(
    ("goal", "ours", "reference", "met"),
    [
        (Goal(mark="bar", sense=">=", bound=1), 10, 10, True),
        (Goal(mark="bar", sense=">=", bound=1), 9, 10, False),
        (Goal(mark="bar", sense="<=", bound=1), 11, 10, False),
        (Goal(mark="bar", sense="<=", bound=150, of="difference"), 450, 300, True),
        (Goal(mark="bar", sense="<=", bound=150, of="difference"), 451, 300, False),
        (Goal(mark="P8", sense="<=", bound=0.1, of="ours"), 0.03, None, True),
        (Goal(mark="bar", sense="<=", bound=1), 11, None, None),
        (Goal(mark="bar", sense="<=", bound=1), math.nan, 10, None),
        (None, 11, 10, None),
    ],
)
def test_goal(goal, ours, reference, met):
    """A goal is held against the ratio, the difference or the value itself; without a reference it stays open."""
    assert Figure(name="f", unit="ms", ours=ours, reference=reference, goal=goal).met is met


def test_paired_ratio_wins():
    """Where rounds were paired, the goal is held against their ratio and not that of the medians."""
    goal = Goal(mark="bar", sense="<=", bound=1)
    assert Figure(name="f", unit="ms", ours=2, reference=1, paired=0.9, goal=goal).met


def test_table():
    """The table has a row for each figure, aligned, with what misses in bold."""
    goal = Goal(mark="P5", sense="<=", bound=1.2)
    figures = [
        Figure(name="start", unit="ms", ours=500, reference=250, against="import", goal=goal),
        Figure(name="failures", unit="", ours=0),
    ]
    lines = report.table(figures).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        *("start", "500 ms", "250 import", "2.00", "P5: ≤ 1.2 times", "**no**", "")
    ]
    assert report.missed(figures) == figures[:1]


def test_json():
    """What programs read holds every figure and the machine."""
    run = json.loads(report.to_json([Figure(name="start", unit="ms", ours=3, reference=2, against="x")], 1.0))
    assert run["figures"][0]["ratio"] == 1.5
    assert {"processor", "Python", "aiohttp"} <= run["machine"].keys()


@pytest.mark.parametrize(
    ("received", "complete"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Len", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", True),
    ],
)
def test_kept_alive_answer_is_complete(received, complete):
    """On a connection that stays open the generator knows where an answer ends."""
    assert load._complete(received) is complete


def test_cycle():
    """A cycle asks for a token, the list and the role's document, the last two with the token."""
    token, listing, document = load.cycle("app")
    assert token.startswith("PUT /latest/api/token ")
    assert listing.startswith("GET /latest/meta-data/iam/security-credentials/ HTTP")
    assert document.startswith("GET /latest/meta-data/iam/security-credentials/app HTTP")
    assert "%TOKEN%" in listing
    assert "%TOKEN%" in document


def test_references_answer_our_bytes():
    """A reference sets the headers that ours sent, except what its framework counts itself."""
    headers, body = _split(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nServer: EC2ws\r\nConnection: close\r\n\r\napp")
    assert headers == {"Server": "EC2ws", "Connection": "close"}
    assert body == b"app"


def test_fake_sts():
    """The STS of the benchmarks names the role that was asked for."""
    assert "arn:aws:sts::111122223333:assumed-role/app/bench" in answer("arn:aws:iam::111122223333:role/app")
