"""What a daemon says once it is ready: what it serves, to whom, where, until when, and the line for clients."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from imds.core.addresses import INSTANCE_METADATA, PORT
from imds.core.callers import printable
from imds.core.skew import NOTICED
from imds.host.addresses.record import led_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imds.daemon import Daemon

NOTICES = 5
"""That people are shown; ``--json`` has more."""

EC2_URL = "http://169.254.169.254:80/"


def announce(daemon: Daemon) -> None:
    """Print it on standard error, since standard output is for answers."""
    from imds.daemon.controls import DaemonControls  # noqa: PLC0415 - the daemon is loaded by now
    from imds.web.peers import Peer  # noqa: PLC0415 - likewise

    owner = Peer(uid=os.getuid(), pid=os.getpid(), instance=None, control=True)
    for line in describe(DaemonControls(daemon).status(owner)):
        click.echo(line, err=True)


def describe(status: dict[str, Any]) -> Iterator[str]:
    """Yield the lines that tell people about a ``status``."""
    yield f"imds {status['version']} (pid {status['pid']}) serves {_count(len(status['roles']), 'role')}"
    yield from _roles(status)
    skew = status.get("clock_skew_seconds") or 0
    if abs(skew) > NOTICED.total_seconds():
        where = "behind" if skew > 0 else "ahead of"
        yield f"this machine's clock is {timedelta(seconds=abs(skew))} {where} AWS's: set it"
    for problem in status.get("reload_problems") or []:
        yield f"the configuration was not read again, it is wrong: {problem}"
    for instance, kinds in (status.get("simulated") or {}).items():
        yield f"simulated for instance {instance}: {', '.join(kinds)} (imds simulate --clear ends it)"
    yield from _leases(status)
    yield from _notifications(status.get("notifications") or {})
    yield "to"
    for rule in status["callers"]:
        yield f"  {rule['match']}" + (f" → instance {rule['instance']}" if rule["instance"] else " → refused")
    yield "at"
    for url in status["listen"]:
        yield f"  {url}"
    if admin := status.get("admin_listen"):
        yield "health and metrics at"
        for place in admin:
            yield f"  {place}"
    if line := client_line(status["listen"]):
        yield f"clients need\n  {line}"


def _roles(status: dict[str, Any]) -> Iterator[str]:
    width = max((len(role["name"]) for role in status["roles"]), default=0)
    for role in status["roles"]:
        default = "  (default)" if role["name"] == status["default_role"] else ""
        yield f"  {role['name']:{width}}  {role['role_arn'] or role.get('arn') or role['source']}{default}"
        for line in filter(None, (describe_role(role), describe_mfa(role))):
            yield f"  {'':{width}}  {line}"


def _leases(status: dict[str, Any]) -> Iterator[str]:
    leases = status.get("leases") or []
    for kind, verb in (("activation", "imds deactivate ROLE ends one"), ("lease", "imds leases")):
        live = [one for one in leases if one["activation"] == (kind == "activation")]
        if live:
            yield f"and {_count(len(live), kind)} ({verb})"
        for one in live:
            yield f"  {describe_lease(one)}"
    if waiting := [one for one in status.get("requests") or [] if one["answer"] == "waiting"]:
        yield f"{_count(len(waiting), 'request')} to be approved (imds approve)"


def _notifications(notifications: dict[str, Any]) -> Iterator[str]:
    notices = notifications.get("notices") or []
    if notices:
        yield "told lately"
    for notice in notices[:NOTICES]:
        at = datetime.fromisoformat(notice["time"]).astimezone()
        whom = ", ".join(one["channel"] for one in notice["outcomes"] if one["delivered"])
        yield printable(f"  {at:%Y-%m-%d %H:%M:%S}  {notice['subject']}: {whom or 'nobody'}")
    yield from (f"not told: {line}" for line in untold(notifications))


def untold(notifications: dict[str, Any]) -> Iterator[str]:
    """Yield the channels that failed when they were last to tell somebody, and why."""
    for one in notifications.get("channels") or []:
        if not one["delivered"]:
            optional = " (optional)" if one["optional"] else ""
            yield printable(f"{one['channel']}{optional}: {one['error']}")


def client_line(urls: list[str]) -> str | None:
    """Return the line that points clients here; None where they look here by themselves."""
    if EC2_URL in urls or not urls:
        return None
    host, port = led_to(INSTANCE_METADATA, PORT)
    if f"http://{host}:{port}/" in urls:
        return None
    loopback = [url for url in urls if "//127." in url or "//[::1]" in url]
    return f"export AWS_EC2_METADATA_SERVICE_ENDPOINT={(loopback or urls)[0]}"


def describe_role(role: dict[str, Any]) -> str:
    """Return in one line how a role is."""
    if role["state"] == "starting":
        return "first session on the way"
    if role["state"] == "break-glass":
        return f"given to who says why: imds activate {role['name']} --reason TEXT"
    failure = role["failure"]
    why = f"{failure['code']}: {failure['message']}" if failure else ""
    if role["waiting_for"]:
        why = f"waiting for {role['waiting_for']} ({why})"
    if not role["remaining_seconds"]:
        return why if role["waiting_for"] else f"no credentials: {why}" if why else "no credentials"
    left = timedelta(seconds=role["remaining_seconds"])
    end = datetime.fromisoformat(role["expiration"]).astimezone()
    text = f"until {end:%Y-%m-%d %H:%M:%S} ({left} left)"
    return f"{text}; not renewed: {why}" if why else text


def describe_mfa(role: dict[str, Any]) -> str | None:
    """Return in one line why no code has come, or that one is asked for before its role waits for it."""
    mfa = role.get("mfa")
    if mfa is None or not mfa["asked"]:
        return None
    if mfa["problem"]:
        return printable(f"no code came by itself: {mfa['problem']}")
    if role["waiting_for"]:
        return None
    return f"an MFA code of {mfa['device']} is asked for, by {mfa['until']}: imds mfa {role['name']}"


def describe_lease(lease: dict[str, Any]) -> str:
    """Return in one line what a lease is, whose, and for how long."""
    who = lease["user"] or f"uid {lease['uid']}"
    whose = f"whoever sees instance {lease['instance']}, by {who}" if lease["anybody_of_instance"] else who
    left = timedelta(seconds=lease["remaining_seconds"])
    parts = [lease["id"], lease["role"], lease["narrowed"] or "as it is", f"{left} left", whose]
    if lease["failure"]:
        parts.append(f"not renewed: {lease['failure']}")
    return printable("  ".join([*parts, lease["reason"]]).rstrip())


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
