"""``imds audit``: who was given what, when and why."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from imds.cli.control_client import find_daemon
from imds.cli.options import fail, socket_option
from imds.core.audit import verify
from imds.core.callers import printable
from imds.core.durations import parse_duration
from imds.core.errors import ImdsError
from imds.host import places

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK_AGAIN = 0.5
LEASE_DECISIONS = {
    "leased": "given to",
    "lease refused": "denied to",
    "lease ended": "ended",
    "activating": "begun by",
    "activated": "given to",
    "activation refused": "denied to",
    "activation ended": "ended",
    "approval asked": "asked for by",
    "approved": "approved by",
    "denied": "denied by",
    "approval refused": "not to be approved by",
}
"""How they are told."""


@click.command("audit")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--follow", "-f", is_flag=True, help="Go on with what is written from now on.")
@click.option("--since", metavar="SPAN", help="Only the last 30m, 12h, …")
@click.option("--role", metavar="NAME", help="Only this role.")
@click.option("--json", "as_json", is_flag=True, help="The lines as they are, for programs.")
@click.option("--verify", "verifying", is_flag=True, help="Check that no line was removed or changed.")
@socket_option
def command(
    *,
    files: tuple[Path, ...],
    follow: bool,
    since: str | None,
    role: str | None,
    as_json: bool,
    verifying: bool,
    socket_path: Path | None,
) -> None:
    """Show who was given credentials and who was refused, when and why.

    Reads the running daemon's log, or FILES, the oldest first.

    \b
    imds audit --since 1h --role admin
    imds audit --follow
    imds audit --verify audit.jsonl.1 audit.jsonl
    """
    status = _status(socket_path)
    paths = list(files) or [Path(status["path"]) if status else _default()]
    try:
        if verifying:
            _verify(paths, status if not files else None)
            return
        start = _start(since)
        for fields, text in _lines(paths, follow=follow):
            if (role is None or fields.get("role") == role) and fields.get("time", "") >= start:
                click.echo(text if as_json else _shown(fields))
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")


def _status(socket_path: Path | None) -> dict[str, Any] | None:
    with suppress(ImdsError):
        found: dict[str, Any] | None = find_daemon(socket_path).call("GET", "status").get("audit")
        return found
    return None


def _default() -> Path:
    return places.state_directory(os.environ) / places.AUDIT_LOG


def _start(since: str | None) -> str:
    if since is None:
        return ""
    duration = parse_duration(since)
    if duration is None:
        raise click.UsageError(f"--since: {since!r} is not a duration such as 30m or 12h")
    return (datetime.now(UTC) - duration).strftime("%Y-%m-%dT%H:%M:%S")


def _lines(paths: list[Path], *, follow: bool) -> Iterator[tuple[dict[str, Any], str]]:
    for number, path in enumerate(paths, start=1):
        with path.open(encoding="utf-8", errors="replace") as file:
            going = True
            while going:
                going = follow and number == len(paths) and not _is_rotated(path, file)
                while line := file.readline():
                    with suppress(ValueError):
                        fields = json.loads(line)
                        if isinstance(fields, dict):
                            yield fields, line.rstrip("\n")
                if going:
                    time.sleep(LOOK_AGAIN)
        if follow and number == len(paths):
            yield from _lines([path], follow=True)


def _is_rotated(path: Path, file: TextIO) -> bool:
    """Whether the daemon writes to another file of that name by now; what it wrote before is all in the old one."""
    with suppress(FileNotFoundError):
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    return False


def _shown(fields: dict[str, Any]) -> str:
    """Return one line for people."""
    try:
        return _told(fields)
    except (KeyError, ValueError, TypeError, AttributeError):
        return f"not a line of ours: {printable(json.dumps(fields))}"


def _told(fields: dict[str, Any]) -> str:
    at = datetime.fromisoformat(fields["time"]).astimezone()
    who = fields.get("container") or {}
    user = fields.get("user") or (f"uid {fields['uid']}" if fields.get("uid") is not None else None)
    program = f"{fields['exe']} (pid {fields['pid']})" if fields.get("pid") else None
    caller = " ".join(part for part in (who.get("name"), user, program) if part) or f"unknown at {fields['address']}"
    fault = f"; simulated: {fields['fault']}" if fields.get("fault") else ""
    if fields["decision"] in LEASE_DECISIONS:
        whom = f" {caller}" if not fields["decision"].endswith(" ended") else ""
        return f"{at:%Y-%m-%d %H:%M:%S}  {_lease(fields)}{LEASE_DECISIONS[fields['decision']]}{whom}: {_why(fields)}"
    if fields["decision"] == "given":
        of_lease = next((f" of {kind} {fields[kind]}" for kind in ("lease", "activation") if fields.get(kind)), "")
        what = f"{fields['role']} (…{fields['access_key']}){of_lease}"
    else:
        times = f" {fields['repeated']} times" if fields.get("repeated") else ""
        what = f"refused{times}"
    return f"{at:%Y-%m-%d %H:%M:%S}  {what} to {caller}: {fields['because']}{fault}"


def _lease(fields: dict[str, Any]) -> str:
    narrowed = f", {fields['narrowed']}," if fields.get("narrowed") else ""
    which = next((f"{kind} {fields[kind]}" for kind in ("lease", "activation") if fields.get(kind)), None)
    if which is None:
        which = "a lease" if "lease" in fields else "break-glass" if "activation" in fields["decision"] else "a request"
    return f"{which} of {fields['role'] or 'the default role'}{narrowed} "


def _why(fields: dict[str, Any]) -> str:
    """Return why a lease was given, or denied, or has ended, and what it is for."""
    reason = f" ({fields['reason']})" if fields["reason"] else ""
    return f"{fields['because']}{reason}"


def _verify(paths: list[Path], status: dict[str, Any] | None) -> None:
    lines = [line for path in paths for line in path.read_bytes().splitlines()]
    count, wrong, last = verify(lines)
    if status is not None and status["last"] != last:
        wrong.append("the daemon wrote a line at the end that is not there (or writes one just now)")
    for problem in wrong:
        click.echo(f"imds: {problem}", err=True)
    if wrong:
        raise SystemExit(1)
    click.echo(f"{count} lines, each follows the one before it")
