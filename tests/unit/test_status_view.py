"""``imds status --watch``: everything fits, and says the same without colours."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from imds.cli.status_view import view

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)


def role(name: str, **about: object) -> dict[str, object]:
    """Return a role as ``imds status --json`` has it."""
    made = {
        "name": name,
        "role_arn": f"arn:aws:iam::111122223333:role/{name}",
        "source": "profile work",
        "state": "ok",
        "remaining_seconds": 1800,
        "last_refresh": "2030-01-01T11:30:00Z",
        "expiration": "2030-01-01T12:30:00Z",
        "next_attempt": "2030-01-01T12:00:05Z",
        "waiting_for": None,
        "failure": None,
    }
    return {**made, **about}


STATUS = {
    "version": "1.2.3",
    "listen": ["http://127.0.0.1:9254/"],
    "default_role": "app",
    "roles": [
        role("app"),
        role("admin", state="waiting", remaining_seconds=0, waiting_for="imds mfa admin CODE", next_attempt=None),
        role("broken", state="failing", failure={"code": "AccessDenied", "message": "no \x1b[31mtrust"}),
    ],
    "recent": [
        {"role": "app", "user": "alice", "pid": 7, "program": "terraform", "at": "2030-01-01T11:59:58Z", "count": 3},
        {"role": "app", "container": "web-1", "at": "2030-01-01T10:00:00Z", "count": 1, "address": "172.17.0.2"},
    ],
    "turned_away": [{"why": "no-token", "uid": 12, "user": None, "last": "2030-01-01T11:59:00Z", "count": 1}],
    "reload_problems": ["imds.yaml:3: x: is not a key"],
    "simulated": {"default": ["fault"]},
    "audit": {"failure": "No space left on device"},
}


def shown(status: dict, width: int, height: int) -> list[str]:
    """Return the lines of a terminal without colours."""
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, no_color=True, force_terminal=False, legacy_windows=False)
    console.print(view(status, now=NOW, width=width, height=height))
    return out.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 20), (140, 40), (200, 60)])
def test_it_fits(width: int, height: int) -> None:
    """No line is wider than the terminal, and there are no more than it has."""
    lines = shown(STATUS, width, height)
    assert max(len(line) for line in lines) <= width
    assert len(lines) <= height


def test_it_says_what_people_need_to_know() -> None:
    """Roles with what is left of them, what waits for a person, what is wrong, who asked and what they got."""
    text = "\n".join(shown(STATUS, 80, 24))
    assert "imds 1.2.3  2 of 3 roles live" in text
    words = [line.split() for line in text.splitlines()]
    assert ["app", "*", "ok", "██████░░░░░░", "30m", "0s", "5s"] in words
    assert ["admin", "waits", "············", "-", "now"] in words
    assert "admin: waiting for imds mfa admin CODE" in text
    assert "broken: AccessDenied: no ?[31mtrust" in text
    assert "the configuration is wrong: imds.yaml:3: x: is not a key" in text
    assert "simulated for default: fault (imds simulate --clear)" in text
    assert "the audit log cannot be written: No space left on device" in text
    rows = [line.split() for line in text.splitlines() if "ago" in line]
    assert rows[0] == ["2s", "ago", "app", "alice", "terraform", "(7)", "3"]
    assert rows[1] == ["1m", "0s", "ago", "nothing:", "no-token", "uid", "12", "1"]
    assert rows[2] == ["2h", "0m", "ago", "app", "web-1", "1"]


def test_many_callers_do_not_push_the_roles_away() -> None:
    """Where there is no room, the oldest are left out."""
    many = {**STATUS, "recent": [STATUS["recent"][0] | {"pid": pid} for pid in range(100)]}
    assert len(shown(many, 80, 24)) <= 24


def test_a_break_glass_role_is_not_missed() -> None:
    """It is none of the roles that should live, and who asks for it is shown with what to do."""
    request = {"id": "5f3c01ab", "role": "root", "user": "alice", "uid": 1, "reason": "INC-1", "answer": "waiting"}
    guarded = role("root", state="break-glass", remaining_seconds=0, last_refresh=None, next_attempt=None)
    text = "\n".join(shown({**STATUS, "roles": [role("app"), guarded], "requests": [request]}, 80, 24))
    assert "1 of 1 roles live" in text
    assert ["root", "break-glass", "············", "-", "-"] in [line.split() for line in text.splitlines()]
    assert "alice asks for role root: INC-1 (imds approve 5f3c01ab)" in text
