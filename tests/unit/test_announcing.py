"""What people are shown of a status."""

from __future__ import annotations

from imds.cli.announcing import describe

FAILED = {"channel": "webhook https://x", "delivered": False, "optional": False, "error": "answered with status 500"}
TOLD = {"channel": "command oncall", "delivered": True, "optional": False, "error": None}
STATUS = {"version": "1.2.3", "pid": 7, "roles": [], "default_role": None, "callers": [], "listen": []}


def notice(number: int, *outcomes: object) -> dict[str, object]:
    """Return a notice as ``imds status --json`` has it."""
    return {"subject": f"notice {number}\x1b[31m", "time": "2030-01-01T12:00:00Z", "outcomes": list(outcomes)}


def test_notices_are_shown() -> None:
    """The last few notices with whom they reached, and each channel that failed with why; nothing steers a terminal."""
    notices = [notice(1, TOLD, FAILED), notice(2, FAILED), *(notice(number, TOLD) for number in range(3, 9))]
    channels = [TOLD, FAILED, FAILED | {"optional": True, "error": "\x1b[31m"}]
    lines = list(describe(STATUS | {"notifications": {"notices": notices, "channels": channels}}))
    assert all(line.isprintable() for line in lines)
    first = lines.index("told lately") + 1
    assert [line[23:] for line in lines[first : first + 5]] == [
        "notice 1?[31m: command oncall",
        "notice 2?[31m: nobody",
        *(f"notice {number}?[31m: command oncall" for number in (3, 4, 5)),
    ]
    assert lines[first + 5 : first + 7] == [
        "not told: webhook https://x: answered with status 500",
        "not told: webhook https://x (optional): ?[31m",
    ]


def test_without_notices_there_is_nothing_to_show() -> None:
    """A daemon that has told nobody says nothing of it."""
    assert not [
        line for line in describe(STATUS | {"notifications": {"notices": [], "channels": []}}) if "told" in line
    ]
