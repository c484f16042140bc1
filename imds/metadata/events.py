"""What simulated events look like in the tree.

Sources: EC2 user guide, "Spot Instance interruption notices", "EC2 instance rebalance recommendations", "Scheduled
events for your instances"; EC2 Auto Scaling user guide, "Retrieve the target lifecycle state".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from imds.core.layout import ec2_json
from imds.core.paths import TAGS
from imds.core.timestamps import timestamp

if TYPE_CHECKING:
    from datetime import datetime

    from imds.core.events import Maintenance
    from imds.core.simulation import Simulated

_HISTORY = {"completed": "[Completed] ", "canceled": "[Canceled] "}
"""The states of events that are history, and how EC2 marks their descriptions."""


def event_texts(simulated: Simulated, *, tags_shown: bool) -> dict[str, str | None]:
    """Return the paths that differ because of what is simulated; None takes one away."""
    found: dict[str, str | None] = {}
    if (spot := simulated.spot_interruption) is not None:
        found["meta-data/spot/instance-action"] = _compact(action=spot.action, time=timestamp(spot.time))
        if spot.action == "terminate":
            found["meta-data/spot/termination-time"] = timestamp(spot.time)
    if simulated.rebalance is not None:
        notice = timestamp(simulated.rebalance.notice_time)
        found["meta-data/events/recommendations/rebalance"] = _compact(noticeTime=notice)
    if spot is not None or simulated.rebalance is not None:
        found["meta-data/instance-life-cycle"] = "spot"
    if simulated.maintenance:
        gone = [event for event in simulated.maintenance if event.state in _HISTORY]
        found["meta-data/events/maintenance/history"] = _maintenance(gone)
        coming = [event for event in simulated.maintenance if event not in gone]
        found["meta-data/events/maintenance/scheduled"] = _maintenance(coming)
    if simulated.asg_lifecycle is not None:
        found["meta-data/autoscaling/target-lifecycle-state"] = simulated.asg_lifecycle.state
    if tags_shown:
        found |= {f"{TAGS}/{key}": value for key, value in simulated.tag.items()}
    return found


def _maintenance(events: list[Maintenance]) -> str:
    return ec2_json([_fields(event) for event in events])


def _fields(event: Maintenance) -> dict[str, str]:
    """Return an event's fields in EC2's order; its times look like ``21 Jan 2019 09:00:43 GMT``."""
    fields: dict[str, str | datetime | None] = {
        "NotBefore": event.not_before,
        "Code": event.code,
        "Description": _HISTORY.get(event.state, "") + event.description,
        "EventId": event.event_id,
        "NotAfter": event.not_after,
        "NotBeforeDeadline": event.not_before_deadline,
        "State": event.state,
    }
    return {
        name: value if isinstance(value, str) else _old_timestamp(value)
        for name, value in fields.items()
        if value is not None
    }


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""``strftime`` would write them in the host's language."""


def _old_timestamp(moment: datetime) -> str:
    return f"{moment:%d} {_MONTHS[moment.month - 1]} {moment:%Y %H:%M:%S} GMT"


def _compact(**fields: str) -> str:
    return json.dumps(fields, separators=(",", ":"))
