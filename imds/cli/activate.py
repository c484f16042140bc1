"""``imds activate``, ``deactivate`` and ``approve``: break-glass roles."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from imds.cli.control_client import find_daemon
from imds.cli.ending import ended_lines
from imds.cli.lease_options import seconds
from imds.cli.options import fail, socket_option
from imds.core.callers import printable
from imds.core.errors import ImdsError

if TYPE_CHECKING:
    from pathlib import Path

    from imds.cli.control_client import ControlClient

PATIENCE = 180.0
"""Seconds: everybody is told, and AWS is asked, before the daemon answers."""

LOOK_AGAIN = 1.0


@click.command("activate")
@click.argument("role")
@click.option("--reason", required=True, help="Why; it is recorded, and told to who is notified.")
@click.option("--ttl", callback=seconds, metavar="SPAN", help="For how long, 1m to 12h; by default what the role says.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for an approval where one is needed.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@socket_option
def activate(*, role: str, reason: str, ttl: int | None, wait: bool, as_json: bool, socket_path: Path | None) -> None:
    """Have a break-glass ROLE for a while.

    It is recorded and told before AWS is asked. Where somebody has to approve it, this waits for them; where an MFA
    code is needed, it is asked for, or read from standard input.

    \b
    imds activate admin --reason "INC-1234 disk full on db-7"
    imds exec admin -- aws rds describe-db-instances
    imds deactivate admin
    """
    body: dict[str, Any] = {"role": role, "reason": reason, "ttl": ttl}
    try:
        daemon = find_daemon(socket_path)
        given = _activated(daemon, body, wait=wait)
    except ImdsError as error:
        fail(error)
    except KeyboardInterrupt:
        click.echo(
            "imds: interrupted; it may be active, or its request waits: imds leases and imds approve tell", err=True
        )
        sys.exit(130)
    if as_json:
        click.echo(json.dumps(given, indent=2))
    if "needs" in given:
        sys.exit(75)
    if not as_json:
        end = datetime.fromisoformat(given["ends"]).astimezone()
        click.echo(f"role {role} is active until {end:%H:%M:%S}; {given['told']}")
        click.echo(f"  imds exec {role} -- COMMAND   runs a command with it")
        click.echo(f"  imds deactivate {role}        ends it")


def _activated(daemon: ControlClient, body: dict[str, Any], *, wait: bool) -> dict[str, Any]:
    """Return the activation, or what it still needs where nobody waits for it.

    Raises:
        ImdsError: there is none.
    """
    told = None
    while True:
        given = daemon.call("POST", "activations", body, timeout=PATIENCE)
        match given.get("needs"):
            case "code":
                body = body | {"code": _code(body["role"])}
            case "approval":
                request = given["request"]
                if request["id"] != told:  # another one where the first has lapsed meanwhile
                    who = " or ".join(request["approvers"])
                    click.echo(f"imds: to be approved by {who}: imds approve {request['id']}", err=True)
                if not wait:
                    click.echo("imds: once it is approved, give the same command again", err=True)
                    return given
                told = request["id"]
                _wait(daemon, told)
            case _:
                return given


def _wait(daemon: ControlClient, request_id: str) -> None:
    """Wait until a request is answered, or has lapsed."""
    while True:
        time.sleep(LOOK_AGAIN)
        found = daemon.call("GET", "requests")["requests"]
        mine = next((one for one in found if one["id"] == request_id), None)
        if mine is None:
            raise ImdsError(f"request {request_id} is gone: nobody has answered it in time, or imds reload ended it")
        if mine["answer"] != "waiting":
            return


def _code(role: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().replace(" ", "").strip()
    code: str = click.prompt(f"MFA code for {role}", hide_input=True, err=True)
    return code.replace(" ", "").strip()


@click.command("deactivate")
@click.argument("role")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@socket_option
def deactivate(*, role: str, as_json: bool, socket_path: Path | None) -> None:
    """End your activation of a break-glass ROLE: its credentials are forgotten, and its end is told.

    Keys that were given already work until their own end; what is printed says until when, and which policy on the role
    ends them before.

    \b
    imds deactivate admin
    """
    try:
        answer = find_daemon(socket_path).call("DELETE", f"activations/{role}")
    except ImdsError as error:
        fail(error)
    if as_json:
        click.echo(json.dumps(answer["ended"], indent=2))
        return
    for one in answer["ended"]:
        for line in ended_lines(one, what="activation"):
            click.echo(line)


@click.command("approve")
@click.argument("request_id", metavar="[ID]", required=False)
@click.option("--deny", is_flag=True, help="Deny it instead.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@socket_option
def approve(*, request_id: str | None, deny: bool, as_json: bool, socket_path: Path | None) -> None:
    """Approve that somebody has a break-glass role, or list who asks for one.

    \b
    imds approve
    imds approve 5f3c01ab
    imds approve 5f3c01ab --deny
    """
    if request_id is None and deny:
        raise click.UsageError("--deny needs the ID of a request: imds approve lists them")
    try:
        daemon = find_daemon(socket_path)
        if request_id is None:
            _list(daemon.call("GET", "requests")["requests"], as_json=as_json)
            return
        answered = daemon.call("POST", f"requests/{request_id}", {"approve": not deny})
    except ImdsError as error:
        fail(error)
    if as_json:
        click.echo(json.dumps(answered, indent=2))
        return
    click.echo(f"{answered['answer']}: {describe_request(answered)}")


def _list(requests: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(requests, indent=2))
        return
    for one in requests:
        click.echo(describe_request(one))
    if not requests:
        click.echo("imds: nothing waits for an approval", err=True)


def describe_request(request: dict[str, Any]) -> str:
    """Return in one line what somebody asks for."""
    who = request["user"] or f"uid {request['uid']}"
    span = timedelta(seconds=request["ttl_seconds"])
    answer = "" if request["answer"] == "waiting" else f"  ({request['answer']} by {request['by']})"
    asked = f"{request['id']}  {who} asks for role {request['role']} for {span}"
    return printable(f"{asked}: {request['reason']}{answer}")
