"""Containers: whether they can have what the rules give them."""

from __future__ import annotations

import grp
import shlex
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from imds.cli.checks.contact import PATIENCE
from imds.cli.checks.finding import warning
from imds.core.instances import BEYOND_THIS_HOST
from imds.host.containers import default_sockets
from imds.host.names import user_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imds.cli.checks.finding import Finding
    from imds.cli.checks.situation import Situation


def container_hop_limit(situation: Situation) -> Iterator[Finding]:
    """A rule gives containers an instance whose tokens stay on this host."""
    instances = {one["name"]: one for one in situation.contact.says("instances") or []}
    told: set[str] = set()
    for number, rule in enumerate(situation.contact.says("callers") or [], start=1):
        instance = instances.get(rule["instance"])
        if instance is None or not rule["beyond_this_host"] or rule["instance"] in told:
            continue
        few = instance["http_put_response_hop_limit"] < BEYOND_THIS_HOST
        if few and instance["http_tokens"] == "required":
            told.add(rule["instance"])
            yield warning(
                f"rule {number} ({rule['match']}) gives containers instance {rule['instance']}, whose session tokens "
                "stay on this host (http_put_response_hop_limit: 1)",
                where=f"instance {rule['instance']} of {situation.contact.config}",
                fix=f"write metadata_options: {{http_put_response_hop_limit: 2}} into instance {rule['instance']}, "
                "then\n  imds reload",
            )


def container_refused(situation: Situation) -> Iterator[Finding]:
    """A container, or another host, asked and no rule means it."""
    for one in situation.contact.says("turned_away") or []:
        if one["why"] != "no_rule":
            continue
        name, address = one["container"], one["address"]
        match = f"container: {{name: {name}}}" if name else f"network: {address}/{128 if ':' in address else 32}"
        yield warning(
            f"{'container ' + name if name else 'somebody beyond this host'} at {address} asked {one['count']} times, "
            f"at last at {one['last']}, and no rule means it",
            where=f"callers of {situation.contact.config}",
            fix="write under callers, with an instance whose http_put_response_hop_limit is 2\n"
            f"  - {{match: {{{match}}}, instance: NAME}}\nor, where it is meant to have nothing\n"
            f'  - {{match: {{{match}}}, refuse: "not this one"}}\nthen\n  imds reload',
        )


def engine_unreachable(situation: Situation) -> Iterator[Finding]:
    """A rule asks for containers, and the engine that knows them cannot be asked."""
    rules = situation.contact.says("callers") or []
    if not any(rule["container"] for rule in rules):
        return
    sockets = [path for path in default_sockets(situation.environment) if _is_socket(path)]
    troubles = {path: trouble for path in sockets if (trouble := _trouble(path)) is not None}
    if not sockets:
        places = ", ".join(str(path) for path in default_sockets(situation.environment))
        yield warning(
            f"rules ask for containers, and no container engine has a socket at {places}",
            where=f"callers of {situation.contact.config}",
            fix="sudo systemctl start docker.socket",
        )
    for one in situation.contact.says("turned_away") or []:
        if one["why"] == "not_known" and sockets and not troubles:
            yield warning(
                f"somebody beyond this host at {one['address']} was refused {one['count']} times, since a rule asks "
                "what no container engine says of it",
                where=f"callers of {situation.contact.config}",
                fix=f"imds explain --from {one['address']}",
            )
    for path, error in troubles.items():
        denied = isinstance(error, PermissionError)
        fix = _let_in(path, situation.uid) if denied else "sudo systemctl restart docker"
        yield warning(
            f"rules ask for containers, and the container engine cannot be asked: {error.strerror or error}",
            where=str(path),
            fix=fix,
        )


def _is_socket(path: Path) -> bool:
    with suppress(OSError):
        return stat.S_ISSOCK(path.stat().st_mode)
    return False


def _trouble(path: Path) -> OSError | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PATIENCE)
        try:
            probe.connect(str(path))
        except OSError as error:
            return error
    return None


def _let_in(path: Path, uid: int) -> str:
    """Return the command that lets this user ask an engine: by its group, which opens the whole engine to them."""
    user, group = shlex.quote(user_name(uid) or str(uid)), ""
    with suppress(OSError, KeyError):
        owner = path.stat()
        group = grp.getgrgid(owner.st_gid).gr_name if owner.st_gid != 0 and owner.st_mode & stat.S_IWGRP else ""
    if group:
        return f"sudo usermod --append --groups {group} {user} && newgrp {group}"
    return f"sudo setfacl --modify u:{user}:rw {shlex.quote(str(path))}"
