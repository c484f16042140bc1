"""Who answers where clients look, if anybody: imds, another program, or a cloud's own metadata service."""

from __future__ import annotations

import pwd
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from imds.cli.checks.endpoint import endpoint_elsewhere, other_family
from imds.cli.checks.finding import error
from imds.core.matching import units_of
from imds.host.addresses import how_to_bring
from imds.host.cgroups import path_of_process
from imds.host.clouds import cloud

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imds.cli.checks.finding import Finding
    from imds.cli.checks.situation import Situation
    from imds.host.occupants import Occupant

OK, FORBIDDEN = 200, 403
UNPRIVILEGED_PORTS = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


def address_missing(situation: Situation) -> Iterator[Finding]:
    """This host has no such address, so nothing answers."""
    target = situation.target
    if _is_elsewhere(situation) and cloud() is None and other_family(situation) is None:
        listening = ", which only waits for it" if situation.listens_at(target.host, target.port) else ""
        line = None if listening else situation.loopback_line
        yield error(
            f"clients look at {target.host}, which this host does not have{listening}",
            where=target.host,
            fix=line or how_to_bring(target.host),
        )


def other_metadata_service(situation: Situation) -> Iterator[Finding]:
    """Below this machine is a cloud, and clients ask its metadata service."""
    name = cloud()
    if name is not None and _is_elsewhere(situation):
        target = situation.target
        whose = "the instance's own role" if name == "EC2" else "nothing that AWS knows"
        yield error(
            f"this is a machine of {name}, whose own metadata service answers at {target.host}: clients get {whose}",
            where=target.host,
            fix=situation.loopback_line or how_to_bring(target.host),
        )


def port_taken(situation: Situation) -> Iterator[Finding]:
    """Another program has the port at which clients look."""
    target = situation.target
    if not _is_in_question(situation) or situation.listens_at(target.host, target.port):
        return
    if target.setting is not None and situation.contact.status is not None:
        return  # endpoint_elsewhere
    if situation.answer is not None and situation.answer.ours:
        return  # clients are led to the daemon nevertheless
    there = situation.listeners(target.host, target.port)
    if situation.contact.status is None:
        there = [one for one in there if not one.is_imds or one.uid not in (situation.uid, 0)]
        if situation.answer is not None and situation.answer.status == OK and situation.answer.server == "EC2ws":
            return  # an imds that gives us something, whosever it is
    if there:
        line = situation.loopback_line if target.setting is None else None
        yield error(
            f"{_whom(there[0])} has {target.host}:{target.port}, where clients look: imds cannot listen there",
            where=f"{target.host}:{target.port}",
            fix=line or _end(there[0], situation.uid),
        )


def someone_else_answers(situation: Situation) -> Iterator[Finding]:
    """The daemon listens where clients look, and yet another gives the session tokens."""
    target, answer = situation.target, situation.answer
    if answer is None or answer.status is None or situation.by_container:
        return
    foreign = answer.ours is False or (answer.status not in (OK, FORBIDDEN, 503) and answer.server != "EC2ws")
    if not foreign or any((*endpoint_elsewhere(situation), *port_taken(situation))):
        return  # which say so
    there = next(iter(situation.listeners(target.host, target.port)), None)
    who = _whom(there) if there else "something before it (a port that Docker publishes, a rule of the firewall)"
    yield error(
        f"at {target.host}:{target.port} not the daemon answers but {who} (HTTP {answer.status}, "
        f"Server: {answer.server[:40] or 'none'})",
        where=f"{target.host}:{target.port}",
        fix=_other_line(situation) or (_end(there, situation.uid) if there else "sudo nft list ruleset"),
    )


def address_unused(situation: Situation) -> Iterator[Finding]:
    """This host has the address, its port is free, and the daemon does not listen there."""
    target = situation.target
    if target.setting is not None or situation.contact.status is None or not _is_in_question(situation):
        return
    if situation.listens_at(target.host, target.port) or situation.listeners(target.host, target.port):
        return
    if situation.answer is not None and situation.answer.ours:
        return  # redirected to it
    may = _may_listen(situation)
    why = (
        "it had no such address when it began, or its configuration names others"
        if may
        else f"its user may not listen on port {target.port}"
    )
    fix = situation.loopback_line or ("imds serve" if may else "sudo sysctl net.ipv4.ip_unprivileged_port_start=80")
    yield error(
        f"clients look at {target.host}:{target.port}, and the daemon does not listen there: {why}; restart it after "
        "that is mended, or point clients to it",
        where=f"{target.host}:{target.port}",
        fix=fix,
    )


def no_answer(situation: Situation) -> Iterator[Finding]:
    """The daemon listens where clients look, and does not answer."""
    target, answer = situation.target, situation.answer
    if not situation.listens_at(target.host, target.port) or situation.by_container:
        return
    slow = any("fault" in kinds for kinds in (situation.contact.says("simulated") or {}).values())
    if answer is not None and answer.status is None and not slow:
        yield error(
            f"the daemon listens at {target.host}:{target.port} and does not answer there: {answer.error}",
            where=f"{target.host}:{target.port}",
            fix="sudo nft list ruleset",
        )


def _is_in_question(situation: Situation) -> bool:
    """Whether clients look at an address of this host."""
    return situation.target.is_here and not situation.by_container


def _is_elsewhere(situation: Situation) -> bool:
    """Whether clients look at EC2's own address, and this host has it not."""
    return situation.target.setting is None and not situation.target.is_here and not situation.by_container


def _other_line(situation: Situation) -> str | None:
    """Return the line that points clients to another address of the daemon's than the one they look at."""
    line = situation.loopback_line
    return line if line is not None and f"{situation.target.host}:{situation.target.port}/" not in line else None


def _whom(one: Occupant) -> str:
    user = f"uid {one.uid}"
    with suppress(KeyError):
        user = pwd.getpwuid(one.uid).pw_name
    return f"{'another imds, ' if one.is_imds else ''}{one} of user {user}"


def _end(one: Occupant, uid: int) -> str:
    """Return the command that ends a program: its unit where it has one."""
    if one.pid is None:
        return f"sudo ss -Htlnp 'uid = {one.uid}'"
    cgroup = path_of_process(one.pid)
    unit = next((name for name in units_of(cgroup) if name.endswith(".service")), None) if cgroup else None
    if unit is not None and (one.command or "?") in unit:  # not that of a shell in which it was started
        return f"sudo systemctl stop {unit}"
    return f"{'' if uid in (0, one.uid) else 'sudo '}kill {one.pid}"


def _may_listen(situation: Situation) -> bool:
    """Whether the daemon's user may listen on the port."""
    with suppress(OSError, ValueError, TypeError):
        uid = Path(f"/proc/{situation.contact.says('pid')}").stat().st_uid
        return uid == 0 or situation.target.port >= int(UNPRIVILEGED_PORTS.read_text())
    return True
