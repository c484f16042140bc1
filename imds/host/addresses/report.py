"""How the addresses are: which are there and by whom, who listens, who answers, who could reach them."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imds.core.addresses import PORT
from imds.host.addresses import ALL, Topology, obstacles, record, tables
from imds.host.addresses.doing import what_is_ours
from imds.host.addresses.seen import LINK, listing, look
from imds.host.occupants import occupants

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imds.host.addresses.record import Record
    from imds.host.addresses.seen import Seen

UNIT = "imds-address.service"
_INVOCATION = Path("/run/systemd/units") / f"invocation:{UNIT}"
"""Systemd's mark of a unit that is active."""

PATIENCE = 1.0
SERVER = "EC2ws"


def report() -> dict[str, Any]:
    """Return everything, as ``imds address status --json`` prints it.

    Raises:
        AddressesError: ``ip`` is missing, or the record cannot be read.
    """
    seen, kept = look(), record.load()
    ours = what_is_ours(kept, seen)
    here = [host for host in ALL if _device(host, seen, ours) is not None]
    guard = _guard(seen, ours, here)
    told: dict[str, Any] = {
        "topology": ours.topology.value if ours.put and ours.topology else None,
        "target": ours.target if ours.topology is Topology.REDIRECT and ours.put else None,
        "addresses": [_address(host, seen, ours) for host in ALL],
        "guard": guard,
        "exposed_to": neighbours(seen) if here and guard["there"] is False else [],
        "published": obstacles.published(here) if here and ours.topology in (None, Topology.DIRECT) else None,
        "first_unprivileged_port": obstacles.first_unprivileged_port(),
        "record": str(record.path()) if kept.put else None,
    }
    told["problems"] = list(_problems(told, kept, ours))
    return told


def _device(host: str, seen: Seen, ours: Record) -> str | None:
    """Return the interface that has an address, or behind which it is."""
    if (device := seen.device_of(host)) is not None:
        return device
    behind = ours.topology is Topology.FAITHFUL and host in ours.addresses and LINK.name in seen.devices
    return LINK.name if behind else None


def _address(host: str, seen: Seen, ours: Record) -> dict[str, Any]:
    device = _device(host, seen, ours)
    target = (host, PORT)
    led = record.led_to(host, PORT) if ours.topology is Topology.REDIRECT and host in ours.addresses else target
    listeners = [] if device in (None, LINK.name) else occupants(*led)
    return {
        "address": host,
        "device": device,
        "by": _by(host, device, ours),
        "led_to": None if led == target else list(led),
        "listeners": [
            {"bound": one.bound, "uid": one.uid, "pid": one.pid, "command": one.command, "imds": one.is_imds}
            for one in listeners
        ],
        "answers": _ask(host) if device is not None else None,
    }


def _by(host: str, device: str | None, ours: Record) -> str | None:
    if device is None:
        return None
    if device == LINK.name or any(str(one.thing) == f"{host} on {device}" for one in ours.put):
        return "imds address up"
    return UNIT if device == "lo" and _INVOCATION.is_symlink() else "somebody else"


def _guard(seen: Seen, ours: Record, here: list[str]) -> dict[str, Any]:
    mine = any(one.thing == tables.GUARD for one in ours.put)
    if seen.tables is None:  # only root may look
        return {"there": True if mine else None, "by": "imds address up" if mine else None}
    there = seen.identity(tables.GUARD) is not None and tables.guards(listing(tables.GUARD), here)
    by = "imds address up" if mine else UNIT if _INVOCATION.is_symlink() else "somebody else"
    return {"there": there, "by": by if there else None}


def neighbours(seen: Seen) -> list[str]:
    """Return the interfaces from which the addresses could be reached without the guard."""
    return sorted(
        name for name, device in seen.devices.items() if device.up and not tables.is_trusted(name) and name != LINK.name
    )


def _ask(host: str) -> dict[str, Any] | None:
    """Return what answers at an address of this host to a request without a token; None for nothing."""
    connection = http.client.HTTPConnection(host, PORT, timeout=PATIENCE)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        server = answer.getheader("Server")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return {"status": answer.status, "server": server, "as_imds": server == SERVER}


def _problems(told: dict[str, Any], kept: Record, ours: Record) -> Iterator[str]:
    for one in told["addresses"]:
        host, answers = one["address"], one["answers"]
        if answers is not None and not answers["as_imds"]:
            who = answers["server"] or "somebody"
            yield f"{host} is answered by {who}, which is no metadata service: sudo imds address up --redirect"
    if told["exposed_to"]:
        yield f"the guard is missing: neighbours on {', '.join(told['exposed_to'])} reach it: sudo imds address up"
    if told["published"]:
        yield f"a container is published on port {PORT}, and is asked in its place: sudo imds address up --redirect"
    gone = {one.thing for one in kept.put} - {one.thing for one in ours.put}
    for thing in sorted(map(str, gone)):
        yield f"{thing} was put there and is gone: sudo imds address up"
