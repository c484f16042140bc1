"""One event as a client of the control socket asks for it: its fields, and what they may be.

Times are UTC, durations seconds.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from imds.core.errors import BadRequestError
from imds.core.events import (
    EVENTS,
    FAULTS,
    LIFECYCLE_STATES,
    LONGEST,
    LONGEST_DELAY,
    LONGEST_FAULT,
    MAINTENANCE_CODES,
    MAINTENANCE_STATES,
    MOST_REQUESTS,
    SPOT_ACTIONS,
    Cleared,
    Event,
    Fault,
    LifecycleState,
    Maintenance,
    Rebalance,
    RoleChange,
    SpotInterruption,
    TagChange,
)
from imds.core.patterns import TAG_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SPOT_NOTICE = timedelta(minutes=2)
"""What EC2 gives; a hibernation begins at once."""

MOST_TAGS = 50
"""Of an instance; EC2's limit."""

DEFAULT_FAULT = timedelta(minutes=1)
_EVENT_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?Z")


class Fields:
    """The fields of one event, each read once; a wrong one raises ``BadRequestError``."""

    def __init__(self, entry: Any) -> None:  # noqa: ANN401 - whatever a client sent
        if not isinstance(entry, dict):
            raise BadRequestError("an event is an object")
        self._left: dict[str, Any] = {name: value for name, value in entry.items() if value is not None}

    def text(self, name: str) -> str | None:
        """Return a short text in one line."""
        value = self._left.pop(name, None)
        if value is not None and (not isinstance(value, str) or not 1 <= len(value) <= 256 or not value.isprintable()):  # noqa: PLR2004 - a bound
            raise BadRequestError(f"{name} must be a short text")
        return value

    def one_of(self, name: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """Return one of a few words."""
        value = self.text(name) or default
        if value not in choices:
            raise BadRequestError(
                f"{name} must be one of {', '.join(choices)}" + f", not {value}" * (value is not None)
            )
        return value

    def matching(self, name: str, pattern: re.Pattern[str], what: str) -> str | None:
        """Return a text that fits ``pattern`` as a whole."""
        value = self.text(name)
        if value is not None and not pattern.fullmatch(value):
            raise BadRequestError(f"{name} must be {what}, not {value}")
        return value

    def moment(self, name: str) -> datetime | None:
        """Return a time, UTC."""
        value = self.matching(name, _TIME, "a time such as 2026-01-31T12:00:00Z")
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value.partition(".")[0].rstrip("Z")).replace(tzinfo=UTC)
        except ValueError as error:
            raise BadRequestError(f"{name}: there is no such time as {value}") from error
        if not 2000 <= moment.year < 2200:  # noqa: PLR2004 - sums of times and durations stay times
            raise BadRequestError(f"{name}: {value} is too far away")
        return moment

    def span(self, name: str, longest: timedelta) -> timedelta | None:
        """Return a duration."""
        value = self._left.pop(name, None)
        if value is None:
            return None
        most = longest.total_seconds()
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most:
            raise BadRequestError(f"{name} must be a number of seconds, {most:.0f} at most")
        return timedelta(seconds=value)

    def number(self, name: str, least: int, most: int) -> int | None:
        """Return a whole number."""
        value = self._left.pop(name, None)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most):
            raise BadRequestError(f"{name} must be a whole number from {least} to {most}")
        return value

    def raw(self, name: str) -> Any:  # noqa: ANN401 - who asks looks at it
        """Return whatever is there."""
        return self._left.pop(name, None)

    def all_read(self, kind: str) -> None:
        """See to it that nothing is left that nobody knows."""
        if self._left:
            raise BadRequestError(f"{kind} has no {', '.join(sorted(self._left))}")


def _spot(entry: Fields, moment: datetime) -> Event:
    action = entry.one_of("action", SPOT_ACTIONS, "terminate")
    notice = entry.span("notice", LONGEST)
    if notice is None:
        notice = timedelta() if action == "hibernate" else SPOT_NOTICE
    return SpotInterruption(action=action, time=moment + notice)


def _rebalance(_entry: Fields, moment: datetime) -> Event:
    return Rebalance(notice_time=moment)


def _maintenance(entry: Fields, moment: datetime) -> Event:
    code = entry.one_of("code", tuple(MAINTENANCE_CODES), "system-reboot")
    return Maintenance(
        event_id=entry.matching("event_id", _EVENT_ID, "an id") or f"instance-event-0{secrets.token_hex(8)}",
        code=code,
        state=entry.one_of("state", MAINTENANCE_STATES, "active"),
        description=entry.text("description") or MAINTENANCE_CODES[code],
        not_before=entry.moment("not_before") or moment,
        not_after=entry.moment("not_after"),
        not_before_deadline=entry.moment("not_before_deadline"),
    )


def _lifecycle(entry: Fields, _moment: datetime) -> Event:
    return LifecycleState(state=entry.one_of("state", LIFECYCLE_STATES))


def _role(entry: Fields, _moment: datetime) -> Event:
    role, detach = entry.text("role"), entry.raw("detach")
    if (role is None) == (detach is not True):
        raise BadRequestError("name a role, or detach the one there is")
    return RoleChange(role=role)


def _tag(entry: Fields, _moment: datetime) -> Event:
    tags = entry.raw("tags")
    if not isinstance(tags, dict) or not 1 <= len(tags) <= MOST_TAGS:
        raise BadRequestError(f"tags must say 1 to {MOST_TAGS} keys and their values, or null to take one away")
    for key, value in tags.items():
        if not TAG_KEY.fullmatch(key):
            raise BadRequestError(f"{key} is not a tag that EC2 shows: letters, digits or any of +-=.,_:@")
        if value is not None and not (isinstance(value, str) and len(value) <= 256 and value.isprintable()):  # noqa: PLR2004 - EC2's
            raise BadRequestError(f"the value of {key} must be a text of 256 characters at most, in one line")
    return TagChange(tags=tuple(tags.items()))


def _fault(entry: Fields, moment: datetime) -> Event:
    kind = entry.one_of("fault", FAULTS)
    delay = entry.span("delay", LONGEST_DELAY)
    if (delay is not None) != (kind == "latency"):
        raise BadRequestError("a latency needs a delay" if delay is None else f"{kind} has no delay")
    lasts = entry.span("for", LONGEST_FAULT)
    return Fault(
        kind=kind,
        until=moment + (DEFAULT_FAULT if lasts is None else lasts),
        delay=delay or timedelta(),
        count=entry.number("count", 1, MOST_REQUESTS),
        uid=entry.number("uid", 0, 0xFFFFFFFF),
    )


def _clear(entry: Fields, _moment: datetime) -> Event:
    kind = entry.text("kind")
    return Cleared(kind=event_name(kind) if kind is not None else None)


def event_name(name: str) -> str:
    """Return the name of an event.

    Raises:
        BadRequestError: there is none of that name.
    """
    if name not in EVENTS:
        raise BadRequestError(f"no kind of event {name}; there are: {', '.join(EVENTS)}")
    return name


READERS: Mapping[str, Callable[[Fields, datetime], Event]] = {
    SpotInterruption.EVENT: _spot,
    Rebalance.EVENT: _rebalance,
    Maintenance.EVENT: _maintenance,
    LifecycleState.EVENT: _lifecycle,
    RoleChange.EVENT: _role,
    TagChange.EVENT: _tag,
    Fault.EVENT: _fault,
    Cleared.EVENT: _clear,
}
"""What reads the fields of an event, by its name, given the moment at which it comes."""
