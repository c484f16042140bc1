"""``notify``: what is written is what is told, and every mistake says what to write, without repeating a secret."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from imds.config.channels import Channel, Command, Desktop, EventBridge, Journal, Sns, Webhook
from imds.config.document import Problems, parse
from imds.config.notify import read_channels

TOPIC = "arn:aws:sns:eu-west-1:123456789012:oncall"
BUS = "arn:aws:events:eu-central-1:123456789012:event-bus/people"


def read(text: str, *, needs_as: bool = False) -> tuple[tuple[Channel, ...], list[tuple[str, str]]]:
    """Return the channels and the mistakes of a list."""
    problems = Problems("imds.yaml")
    channels = read_channels(parse(text.encode(), problems), ("app", "ops"), needs_as=needs_as)
    return channels, [(problem.key, problem.message) for problem in problems.found]


@pytest.mark.parametrize(
    ("written", "channel"),
    [
        ("command: [notify-oncall]", Command(command=("notify-oncall",))),
        ("{command: [/bin/x, -a], timeout: 1m, optional: true}", None),
        ('webhook: "https://hooks.example.com/x"', Webhook(url="https://hooks.example.com/x")),
        ("webhook: {url: 'http://127.0.0.1:8/', secret_file: /s}", None),
        ("webhook: {url: 'http://localhost/', format: slack}", Webhook(url="http://localhost/", slack=True)),
        ("webhook: {url: 'http://[::1]:80/', format: json}", Webhook(url="http://[::1]:80/")),
        (f"sns: {TOPIC}", Sns(topic_arn=TOPIC)),
        (f"sns: {{topic_arn: {TOPIC}, as: app}}", Sns(topic_arn=TOPIC, as_role="app")),
        (f"sns: {TOPIC}.fifo", Sns(topic_arn=f"{TOPIC}.fifo")),
        ("eventbridge: default", EventBridge(bus="default")),
        (f"eventbridge: {{bus: '{BUS}', as: ops}}", EventBridge(bus=BUS, as_role="ops")),
        ("desktop", Desktop()),
        ("journal", Journal()),
        ("{desktop: null, optional: true}", Desktop(optional=True)),
        ("{journal: , message: '{role}: {reason}'}", Journal(message="{role}: {reason}")),
    ],
)
def test_channel_is_read(written: str, channel: Channel | None) -> None:
    """Every spelling gives its channel."""
    known = {
        "{command: [/bin/x, -a], timeout: 1m, optional: true}": Command(
            command=("/bin/x", "-a"), timeout=timedelta(minutes=1), optional=True
        ),
        "webhook: {url: 'http://127.0.0.1:8/', secret_file: /s}": Webhook(
            url="http://127.0.0.1:8/", secret_file=Path("/s")
        ),
    }
    assert read(f"- {written}\n") == ((channel or known[written],), [])


def test_regions_are_those_of_the_arns() -> None:
    """Whom to ask is in an ARN; a bus by its name is where the role's clients are."""
    assert Sns(topic_arn=TOPIC).region == "eu-west-1"
    assert EventBridge(bus=BUS).region == "eu-central-1"
    assert EventBridge(bus="default").region is None


@pytest.mark.parametrize(
    ("written", "key", "message"),
    [
        ("{command: notify}", "[0].command", "must be a list, since no shell reads it"),
        ("{command: [./notify]}", "[0].command", "must be an absolute path"),
        ("{command: []}", "[0].command", "names no program"),
        ("desktp", "[0]", "did you mean desktop?"),
        ("{webhok: x}", "[0].webhok", "did you mean webhook?"),
        ("{desktop: null, journal: null}", "[0]", "has desktop and journal: keep one"),
        ("{optional: true}", "[0]", "must have exactly one of command, webhook"),
        ("{desktop: {}}", "[0].desktop", "takes nothing: write desktop: null"),
        ("[]", "[0]", "must be a mapping"),
        ("null", "[0]", "must be one of desktop, journal, or a mapping"),
        ("{journal: null, timeout: 61s}", "[0].timeout", "is not between 1s and 1m"),
        ("{journal: null, timeout: 999ms}", "[0].timeout", "is not a duration"),
        ("{journal: null, optional: maybe}", "[0].optional", "must be one of true, false"),
        ("{journal: null, message: '{role.x}'}", "[0].message", "{role.x} stands for nothing"),
        (f"{{journal: null, message: {'x' * 2001}}}", "[0].message", "there may be 2000"),
        ("{sns: oncall}", "[0].sns", "is not the ARN of a topic"),
        (f"{{sns: {{topic_arn: {TOPIC}, as: admin}}}}", "[0].sns.as", "break-glass roles may not; there are: app, ops"),
        ("{sns: {as: app}}", "[0].sns", "has no topic_arn"),
        ("{eventbridge: {bus: 'a b'}}", "[0].eventbridge.bus", "is not the name or the ARN of an event bus"),
        ("{webhook: {secret_file: /s}}", "[0].webhook", "has no url"),
        ("{webhook: {url: 'https://x/', secret_file: s}}", "[0].webhook.secret_file", "must be an absolute path"),
        ("{webhook: {url: 'https://x/', format: teams}}", "[0].webhook.format", "must be one of json, slack"),
        ("desktop, desktop", "[1]", "stands twice"),
    ],
)
def test_mistake_is_told(written: str, key: str, message: str) -> None:
    """One mistake, where it is, and what to write."""
    channels, problems = read(f"[{written}]")
    assert [found for found, _ in problems] == [key]
    assert message in problems[0][1]
    assert len(channels) == (1 if key == "[1]" else 0)


@pytest.mark.parametrize(
    "written",
    [
        "https://hooks.example.com/neverlogthis",
        "{webhook: 'http://hooks.example.com/neverlogthis'}",
        "{webhook: 'http://127.0.0.1.example.com/neverlogthis'}",
        "{webhook: 'ftp://127.0.0.1/neverlogthis'}",
        "{webhook: 'https:///neverlogthis'}",
        "{webhook: 'https://[neverlogthis'}",
        "{webhook: 'https://x:99999/neverlogthis'}",
        "{webhook: 'https://u:neverlogthis@x/'}",
        "{webhook: 'https://x/#neverlogthis'}",
        "{webhook: 'https://x/never logthis'}",
        '{webhook: "https://x/\\nneverlogthis"}',
        "{webhook: 'neverlogthis'}",
    ],
)
def test_mistake_in_a_url_does_not_repeat_it(written: str) -> None:
    """A URL may hold a secret, so a mistake in one says no more than what to write."""
    channels, problems = read(f"[{written}]")
    assert not channels
    assert len(problems) == 1
    assert "logthis" not in problems[0][1]
    assert "http" in problems[0][1] or "fragment" in problems[0][1] or "URL" in problems[0][1]


def test_channel_at_aws_without_a_role() -> None:
    """Where there is no role whose source could be taken, one has to be named."""
    channels, problems = read(f"[{{sns: {TOPIC}}}, {{eventbridge: default}}]", needs_as=True)
    assert [key for key, _ in problems] == ["[0].sns", "[1].eventbridge"]
    assert all("write as: ROLE" in message for _, message in problems)
    assert not channels


def test_too_many_channels() -> None:
    """A list is bounded, since all are told at once."""
    _, problems = read("[" + ", ".join(f"{{command: [/bin/{number}]}}" for number in range(21)) + "]")
    assert problems == [("", "has 21 channels; there may be 20")]


def test_no_secret_is_shown() -> None:
    """Neither a repr nor the text for people has more of a webhook than its host."""
    hook = Webhook(url="https://hooks.example.com:8443/services/neverlogthis?token=neverlogthis")
    assert f"{hook}" == "webhook https://hooks.example.com:8443"
    assert "neverlogthis" not in f"{hook!r} {[hook]}"
