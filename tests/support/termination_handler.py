"""What aws-node-termination-handler asks of the metadata service, and where it would fail.

Its ``pkg/ec2metadata`` and ``pkg/monitor`` say which paths, statuses, fields and formats of times.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from support import wire

_TOKEN_TTL = 3600
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SCHEDULED = re.compile(rf"(\d\d?) ({'|'.join(_MONTHS)}) (\d{{4}}) (\d\d):(\d\d):(\d\d) GMT")
_EVENT_FIELDS = ("NotBefore", "Code", "Description", "EventId", "NotAfter", "State")
_RESTARTS = ("instance-stop", "instance-retirement", "instance-reboot", "system-reboot")


@dataclass(frozen=True, kw_only=True)
class Interruption:
    """Something that it drains or cordons a node for.

    Attributes:
        kind: as it calls it.
        start: when; None is now.
        end: of a scheduled event.
        state: of a scheduled event; ``canceled`` and ``completed`` call it off.
        code: of a scheduled event, or the action of a spot interruption.
        uncordons: whether it lets pods return after the restart.
    """

    kind: str
    start: datetime | None = None
    end: datetime | None = None
    state: str = ""
    code: str = ""
    uncordons: bool = False


class TerminationHandler:
    """Watches one metadata service as one does on a node."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_TTL)}
        reply = wire.exchange(address, wire.request("PUT", "/latest/api/token", headers))
        assert reply.status == 200
        assert _ttl(reply) == _TOKEN_TTL
        self._token = reply.body.decode()

    def interruptions(self) -> list[Interruption]:
        """Return what its monitors find now."""
        return [*self._spot(), *self._rebalance(), *self._scheduled(), *self._lifecycle()]

    def node(self) -> dict[str, str]:
        """Return what it tells of the node when it starts; a text that is missing is empty."""
        document = json.loads(self._read("/latest/dynamic/instance-identity/document"))
        names = ("accountId", "instanceId", "instanceType", "privateIp", "availabilityZone", "region")
        told = {name: _text(document, name) for name in names}
        told["instanceLifeCycle"] = self._read("/latest/meta-data/instance-life-cycle")
        told["localHostname"] = self._read("/latest/meta-data/local-hostname")
        for name, leaf in (("publicHostname", "public-hostname"), ("publicIp", "public-ipv4")):
            told[name] = self._read(f"/latest/meta-data/{leaf}", missing="")
        return told

    def _spot(self) -> list[Interruption]:
        text = self._read("/latest/meta-data/spot/instance-action", missing="")
        if not text:
            return []
        told = json.loads(text)
        return [Interruption(kind="SPOT_ITN", start=_rfc3339(_text(told, "time")), code=_text(told, "action"))]

    def _rebalance(self) -> list[Interruption]:
        text = self._read("/latest/meta-data/events/recommendations/rebalance", missing="")
        if not text:
            return []
        return [Interruption(kind="REBALANCE_RECOMMENDATION", start=_rfc3339(_text(json.loads(text), "noticeTime")))]

    def _scheduled(self) -> list[Interruption]:
        events = json.loads(self._read("/latest/meta-data/events/maintenance/scheduled"))
        assert isinstance(events, list)
        return [_scheduled({name: _text(event, name) for name in _EVENT_FIELDS}) for event in events]

    def _lifecycle(self) -> list[Interruption]:
        state = self._read("/latest/meta-data/autoscaling/target-lifecycle-state", missing="")
        return [Interruption(kind="ASG_LIFECYCLE", state=state)] if state == "Terminated" else []

    def _read(self, path: str, *, missing: str | None = None) -> str:
        reply = wire.get(self._address, path, token=self._token)
        _ttl(reply)
        if reply.status == 404 and missing is not None:
            return missing
        assert 200 <= reply.status < 300, f"{path} answers {reply.raw!r}"
        return reply.body.decode()


def _scheduled(event: dict[str, str]) -> Interruption:
    start = _scheduled_time(event["NotBefore"])
    return Interruption(
        kind="SCHEDULED_EVENT",
        start=start,
        end=_scheduled_time(event["NotAfter"]) if event["NotAfter"] else start,
        state=event["State"],
        code=event["Code"],
        uncordons=event["Code"] in _RESTARTS and event["State"] not in {"canceled", "completed"},
    )


def _ttl(reply: wire.Reply) -> int:
    by_name = {name.lower(): value for name, value in reply.headers.items()}
    return int(by_name["x-aws-ec2-metadata-token-ttl-seconds"])


def _text(values: dict[str, object], name: str) -> str:
    """Return a field of Go's ``string``, which null leaves empty and nothing else than a text fills."""
    value = values.get(name)
    assert value is None or isinstance(value, str), f"{name} is {value!r}"
    return value or ""


def _rfc3339(text: str) -> datetime:
    assert _RFC3339.fullmatch(text), text
    return datetime.fromisoformat(text)


def _scheduled_time(text: str) -> datetime:
    """Return a time of Go's layout ``2 Jan 2006 15:04:05 GMT``."""
    found = _SCHEDULED.fullmatch(text)
    assert found, text
    day, month, year, hour, minute, second = found.groups()
    return datetime(int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second), tzinfo=UTC)
