"""The daemon: whether it is there, whom it answers, and what it says of itself."""

from __future__ import annotations

import json
import os
import re
import shlex
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import imds
from imds.cli.checks.finding import error, warning
from imds.core.skew import NOTICED
from imds.host.names import user_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imds.cli.checks.finding import Finding
    from imds.cli.checks.situation import Situation

FEW_CONNECTIONS = 256
"""A build that starts some hundred programs at once needs more."""

FORBIDDEN = 403
_PRINCIPAL = re.compile(r"arn:aws[a-z-]*:(?:iam|sts)::\d{12}:[\w+=,.@/-]+")


def no_daemon(situation: Situation) -> Iterator[Finding]:
    """Nothing of ours runs, so nothing can answer."""
    contact = situation.contact
    if contact.is_there or contact.closed is not None or situation.by_container:
        return
    if situation.answer is not None and situation.answer.server == "EC2ws":
        return  # one whose control socket is elsewhere
    there = next((one for one in situation.listeners("127.0.0.1", 9254) if one.is_imds), None)
    hint = f" (an imds of uid {there.uid} is: name its control socket with --socket)" if there else ""
    yield error(f"no imds daemon of yours is running{hint}", where="imds serve", fix="imds serve")


def wrong_configuration(situation: Situation) -> Iterator[Finding]:
    """The daemon was told to read a configuration that has mistakes, and goes on with the old one."""
    problems = situation.contact.says("reload_problems") or []
    if problems:
        yield warning(
            f"the configuration has mistakes, so the daemon goes on with the one before: {problems[0]}"
            + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""),
            where=situation.contact.config,
            fix=f"imds check-config {shlex.quote(situation.contact.config)} && imds reload",
        )


def refused_by_rules(situation: Situation) -> Iterator[Finding]:
    """The rules give this user's programs nothing."""
    contact = situation.contact
    because = contact.refusal
    if contact.status is not None and contact.says("instance") is None:
        because = contact.explain(os.getpid())
    elif contact.status is None and because is None:
        answer = situation.answer
        if answer is None or answer.status != FORBIDDEN or answer.server != "EC2ws":
            return
        because = "it answers 403"
    if because is not None:
        name = user_name(situation.uid) or situation.uid
        yield error(
            f"the daemon refuses programs of {name}: {because}",
            where=f"callers of {contact.config}",
            fix=f'write as the first of callers:\n  - {{match: {{user: "{name}"}}, instance: default}}\n'
            "then\n  imds reload",
        )


def no_role(situation: Situation) -> Iterator[Finding]:
    """The instance that clients see has no role."""
    contact = situation.contact
    if contact.says("instance") is not None and contact.says("default_role") is None:
        instance = contact.says("instance")
        roles = [role["name"] for role in situation.roles]
        yield error(
            f"instance {instance} has no role, so clients that ask for one find none",
            where=f"instances of {contact.config}",
            fix=f"write under instances:\n  {instance}: {{role: {roles[0] if roles else 'NAME'}}}\nthen\n  imds reload",
        )


def endpoint_disabled(situation: Situation) -> Iterator[Finding]:
    """The metadata service of the instance that clients see is off."""
    contact = situation.contact
    for instance in contact.says("instances") or []:
        if instance["name"] == contact.says("instance") and instance["http_endpoint"] == "disabled":
            yield error(
                f"the metadata service of instance {instance['name']} is off",
                where=f"metadata_options of {contact.config}",
                fix="write metadata_options: {http_endpoint: enabled}, then\n  imds reload",
            )


def role_unavailable(situation: Situation) -> Iterator[Finding]:
    """A role cannot be assumed, or not again."""
    for role in situation.roles:
        failure = role["failure"]
        if failure is None:
            continue
        live = role["remaining_seconds"] > 0
        of = f"role {role['name']} ({role['role_arn'] or role['source']})"
        left = timedelta(seconds=role["remaining_seconds"])
        state = f"lives for {left} more and cannot be renewed" if live else "cannot be had"
        make = warning if live else error
        yield make(
            f"{of} {state}: {failure['code']}: {failure['message']}",
            where=f"role {role['name']}, {role['source']}",
            fix=_mend(situation, role),
        )


def wrong_clock(situation: Situation) -> Iterator[Finding]:
    """This machine's clock is not AWS's, which refuses what is signed at another time."""
    if abs(situation.skew) > NOTICED.total_seconds():
        where = "behind" if situation.skew > 0 else "ahead of"
        yield error(
            f"this machine's clock is {timedelta(seconds=abs(situation.skew))} {where} AWS's",
            where="clock",
            fix="sudo timedatectl set-ntp true",
        )


def simulated(situation: Situation) -> Iterator[Finding]:
    """Something is simulated, on purpose, and clients see it."""
    for instance, kinds in (situation.contact.says("simulated") or {}).items():
        yield warning(
            f"simulated for instance {instance}: {', '.join(kinds)}",
            where=f"instance {instance}",
            fix="imds simulate --clear",
        )


def other_version(situation: Situation) -> Iterator[Finding]:
    """The daemon is not of the version that this command is."""
    theirs = situation.contact.says("version")
    if theirs is not None and theirs != imds.__version__:
        pid = situation.contact.says("pid")
        yield warning(
            f"the daemon is version {theirs}, this command {imds.__version__}: start it anew from this one",
            where=f"daemon (pid {pid})",
            fix=f"kill {pid}; imds serve",
        )


def audit_log(situation: Situation) -> Iterator[Finding]:
    """What is given is not on record."""
    log = situation.contact.says("audit") or {}
    if log.get("failure"):
        folder = shlex.quote(str(Path(log["path"]).parent))
        yield warning(
            f"the record cannot be written, {log['lost']} lines are lost so far: {log['failure']}",
            where=log["path"],
            fix=f"df -h {folder}; du -sh {folder}/* | sort -h",
        )


def open_files(situation: Situation) -> Iterator[Finding]:
    """The daemon may open so few files that many clients at once push each other out."""
    most = situation.contact.says("most_connections")
    if most is not None and most < FEW_CONNECTIONS:
        yield warning(
            f"the daemon may open so few files that it keeps {most} connections at once; raise the limit where it is "
            "started and restart it",
            where=f"daemon (pid {situation.contact.says('pid')})",
            fix="ulimit -n 65536, in a unit LimitNOFILE=65536",
        )


def v1_only_clients(situation: Situation) -> Iterator[Finding]:
    """A client asked without a session token, and never for one."""
    for one in situation.contact.says("turned_away") or []:
        if one["why"] != "no_token" or (one["uid"] not in (None, situation.uid) and situation.uid != 0):
            continue
        who = one["container"] or one["program"] or "a program not known"
        pid = f" (pid {one['pid']})" if one["pid"] else ""
        instance = one["instance"]
        yield warning(
            f"{who}{pid} of {one['user'] or one['uid'] or one['address']} knows IMDSv1 only: refused {one['count']} "
            f"times, at last at {one['last']}; give it a newer SDK, or let instance {instance} answer v1",
            where=f"metadata_options of {situation.contact.config}",
            fix="write metadata_options: {http_tokens: optional}, then\n  imds reload"
            if situation.contact.says("config")
            else "imds serve --http-tokens optional",
        )


def _mend(situation: Situation, role: dict[str, object]) -> str:
    """Return what a failed role calls for."""
    failure, waits = role["failure"], role["waiting_for"]
    assert isinstance(failure, dict)  # noqa: S101 - the caller has looked
    match failure["action"]:
        case "reauthenticate":
            command = re.search(r": ((?:aws|imds) .*)$", str(waits))
            return command.group(1) if command is not None else f"sign in again: {waits}"
        case "denied":
            return _trust(role, str(failure["message"]))
        case "config":
            return f"mend {role['source']} in {situation.contact.config} or ~/.aws, then\n  imds reload"
        case "clock":
            return "sudo timedatectl set-ntp true"
    return "look at the network; the daemon tries again by itself (imds refresh does at once)"


def _trust(role: dict[str, object], message: str) -> str:
    """Return the statement that lets whom AWS names assume the role."""
    found = [arn for arn in _PRINCIPAL.findall(message) if arn != role["role_arn"]]
    if not found or role["role_arn"] is None:
        return "ask who administers the account for what AWS names, then\n  imds refresh"
    statement = {"Effect": "Allow", "Principal": {"AWS": found[0]}, "Action": "sts:AssumeRole"}
    return f"add to the trust policy of {role['role_arn']}:\n  {json.dumps(statement)}\nthen\n  imds refresh"
