"""The live view of ``imds status --watch``: what it shows of a status, at any width, in few colours or none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from imds.cli.announcing import untold
from imds.core.callers import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

STYLES = {"ok": "green", "waiting": "yellow", "starting": "yellow", "failing": "yellow", "unavailable": "red"}
WORDS = {"ok": "ok", "waiting": "waits", "starting": "starts", "failing": "failing", "unavailable": "none"}
BREAK_GLASS = "break-glass"
BAR = 12
"""Cells of a lifetime bar in a narrow terminal; twice as many in a wide one."""

RIGHT = ("left", "renewed in")
RATIOS = {"got": 3, "who": 2, "program": 4}
"""How the columns of callers share the width that the others leave."""

WIDE = 110
"""Cells from which there is room for more than the essential."""


def view(status: dict[str, Any], *, now: datetime, width: int, height: int) -> RenderableType:
    """Return what to show in a terminal of so many cells."""
    parts: list[RenderableType] = [_head(status), Text(), _roles(status, now, width)]
    troubles = _troubles(status)
    if troubles:
        parts += [Text(), Text("needs you", style="bold"), *troubles]
    used = 5 + len(status["roles"]) + len(troubles) + (2 if troubles else 0)
    asked = [*status.get("recent", []), *status.get("turned_away", [])]
    asked.sort(key=lambda one: one.get("at") or one.get("last") or "", reverse=True)
    room = max(1, height - used - 4)
    if asked:
        parts += [Text(), _callers(asked[:room], now, width)]
    return Group(*parts)


def _head(status: dict[str, Any]) -> Text:
    kept = [role for role in status["roles"] if role["state"] != BREAK_GLASS]
    good = sum(role["remaining_seconds"] > 0 for role in kept)
    leases = len(status.get("leases") or ())
    text = Text(f"imds {status['version']}", style="bold", no_wrap=True, overflow="ellipsis")
    text.append(f"  {good} of {len(kept)} roles live", style="not bold")
    if leases:
        text.append(f"  {leases} {'lease' if leases == 1 else 'leases'}", style="not bold")
    text.append(f"  {'  '.join(status['listen'])}", style="not bold")
    return text


def _roles(status: dict[str, Any], now: datetime, width: int) -> Table:
    wide = width >= WIDE
    table = Table(box=None, padding=(0, 1), expand=False, header_style="bold", pad_edge=False)
    for name in ("role", "state", "lifetime", "left", "renewed in", *(("session of",) if wide else ())):
        table.add_column(name, no_wrap=True, overflow="ellipsis", justify="right" if name in RIGHT else "left")
    for role in status["roles"]:
        style = STYLES.get(role["state"], "")
        name = Text(printable(role["name"]) + (" *" if role["name"] == status["default_role"] else ""))
        row: list[RenderableType] = [
            name,
            Text(WORDS.get(role["state"], role["state"]), style=style),
            _bar(role, BAR * 2 if wide else BAR, style),
            Text(_span(role["remaining_seconds"]) if role["remaining_seconds"] else "-"),
            Text(_until(role["next_attempt"], now) if role["state"] != BREAK_GLASS else "-"),
        ]
        table.add_row(
            *row, *((Text(printable(role["role_arn"] or role.get("arn") or role["source"])),) if wide else ())
        )
    return table


def _bar(role: dict[str, Any], cells: int, style: str) -> Text:
    """Return how much of its life a session has left, so that it reads without colour too."""
    if not role["remaining_seconds"] or not role["last_refresh"]:
        return Text("·" * cells, style="dim")
    whole = (_moment(role["expiration"]) - _moment(role["last_refresh"])).total_seconds()
    full = max(1, min(cells, round(cells * role["remaining_seconds"] / whole))) if whole > 0 else cells
    return Text("█" * full, style=style).append("░" * (cells - full), style="dim")


def _troubles(status: dict[str, Any]) -> list[Text]:
    """Return what is wrong and what to do about it, one line each."""
    lines = [f"the configuration is wrong: {problem}" for problem in status.get("reload_problems") or []]
    for role in status["roles"]:
        if role["waiting_for"]:
            lines.append(f"{role['name']}: waiting for {role['waiting_for']}")
        elif (role.get("mfa") or {}).get("asked"):
            lines.append(f"{role['name']}: an MFA code is asked for before its session ends: imds mfa {role['name']}")
        elif role["failure"]:
            lines.append(f"{role['name']}: {role['failure']['code']}: {role['failure']['message']}")
    for one in status.get("requests") or []:
        if one["answer"] == "waiting":
            who = one["user"] or f"uid {one['uid']}"
            lines.append(f"{who} asks for role {one['role']}: {one['reason']} (imds approve {one['id']})")
    for instance, kinds in (status.get("simulated") or {}).items():
        lines.append(f"simulated for {instance}: {', '.join(kinds)} (imds simulate --clear)")
    if failure := (status.get("audit") or {}).get("failure"):
        lines.append(f"the audit log cannot be written: {failure}")
    lines += [f"not told: {line}" for line in untold(status.get("notifications") or {})]
    return [Text(f"  {printable(line)}", style="yellow", no_wrap=True, overflow="ellipsis") for line in lines]


def _callers(asked: list[dict[str, Any]], now: datetime, width: int) -> Table:
    wide = width >= WIDE
    table = Table(box=None, padding=(0, 1), header_style="bold", pad_edge=False, expand=True)
    for name in ("last", "got", "who", "program", "times", *(("address",) if wide else ())):
        table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=RATIOS.get(name))
    for one in asked:
        got = Text(printable(one["role"]), style="green") if one.get("role") else Text(_why(one), style="red")
        uid = f"uid {one['uid']}" if one.get("uid") is not None else "unknown"
        who = one.get("container") or one.get("user") or uid
        program = f"{one.get('program') or ''} ({one['pid']})" if one.get("pid") else one.get("program") or ""
        row = (_ago(one.get("at") or one.get("last"), now), got, Text(printable(who)), Text(printable(program)))
        address = (Text(printable(one.get("address") or "")),) if wide else ()
        table.add_row(*row, str(one.get("count", 1)), *address)
    return table


def _why(one: dict[str, Any]) -> str:
    return f"nothing: {printable(str(one.get('why') or 'refused'))}"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _until(text: str | None, now: datetime) -> str:
    if text is None:
        return "now"
    left = (_moment(text) - now).total_seconds()
    return _span(int(left)) if left > 0 else "now"


def _ago(text: str | None, now: datetime) -> str:
    return f"{_span(max(0, int((now - _moment(text)).total_seconds())))} ago" if text else ""


def _span(seconds: int) -> str:
    """Return a duration in few characters: ``59s``, ``12m 3s``, ``3h 5m``, ``2d 3h``."""
    span = timedelta(seconds=seconds)
    hours, rest = divmod(span.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    if span.days:
        return f"{span.days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {seconds}s" if minutes else f"{seconds}s"
