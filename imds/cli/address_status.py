"""What ``imds address status`` tells people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME_WIDTH = 16


def describe(told: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a report."""
    there = [one for one in told["addresses"] if one["device"] is not None]
    for one in there:
        where = f"on {one['device']}, by {one['by']}"
        yield f"{one['address']:{NAME_WIDTH}}  {where}; {_listeners(told, one)}; {_answers(one)}"
    missing = [one["address"] for one in told["addresses"] if one["device"] is None]
    if missing:
        yield f"{'not here':{NAME_WIDTH}}  {', '.join(missing)}"
    if told["topology"] is not None:
        led = f", port 80 is led to {told['target']}" if told["target"] else ""
        yield f"{'topology':{NAME_WIDTH}}  {told['topology']}{led}"
    if there:
        yield f"{'guard':{NAME_WIDTH}}  {_guard(told['guard'])}"
    for problem in told["problems"]:
        yield f"! {problem}"


def _listeners(told: dict[str, Any], one: dict[str, Any]) -> str:
    if told["topology"] == "faithful":
        return "behind the link"
    where = f"port {one['led_to'][1]} of {one['led_to'][0]}" if one["led_to"] else "port 80"
    who = ", ".join(
        f"{other['command']} (pid {other['pid']})" if other["pid"] is not None else f"a process of uid {other['uid']}"
        for other in one["listeners"]
    )
    return f"{who or 'nobody'} listens on {where}"


def _answers(one: dict[str, Any]) -> str:
    answers = one["answers"]
    if answers is None:
        return "nothing answers"
    return "a metadata service answers" if answers["as_imds"] else f"{answers['server'] or 'something else'} answers"


def _guard(guard: dict[str, Any]) -> str:
    if guard["there"] is None:
        return "unknown (only root sees nftables' rules)"
    return f"there, by {guard['by']}" if guard["there"] else "missing"
