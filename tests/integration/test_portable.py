"""Who is calling where the system is not Linux: psutil's answers, of real sockets and processes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.daemon import DaemonProcess, write_config
from support.namespaces import needs_root

from imds.core.callers import EVERYTHING, Caller, Fact
from imds.core.matching import Match
from imds.core.policy import Rule, decide
from imds.host import callers as looking
from imds.host import finding, portable
from imds.host.callers import Arrival, Callers
from imds.host.finding import Connection
from imds.host.linux import Linux
from imds.host.portable import Portable

STRANGER = 54321
AS_STRANGER = ("setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups")
OPEN = 'exec 3<>"/dev/tcp/$0/$1"; '
WAIT = "echo connected; read -r line"
RULES = (
    Rule(match=Match(users=(os.getuid(),)), instance="own", text="own"),
    Rule(match=Match(users=(STRANGER,)), instance="theirs", text="theirs"),
)
ACTING = """\
import os, socket, sys
kept = socket.create_connection((sys.argv[1], int(sys.argv[2])))
os.seteuid(54321)
print("connected", flush=True)
sys.stdin.read()
"""


class Accepted:
    """As much of a transport as the look-up asks for."""

    def __init__(self, accepted: socket.socket) -> None:
        self._known = {
            "peername": accepted.getpeername(),
            "sockname": accepted.getsockname(),
            "socket": accepted,
        }

    def get_extra_info(self, name: str):
        return self._known[name]


@pytest.fixture
def callers(monkeypatch):
    """What looks up as other systems do; patiently, since psutil reads Linux's table anew for each process."""
    monkeypatch.setattr(looking, "LONGEST_LOOK", 20.0)
    monkeypatch.setattr(portable, "LONGEST_LOOK", 20.0)
    found = Callers(finder=Portable())
    yield found
    found.close()


@contextmanager
def client(callers: Callers, *command: str, host: str = "127.0.0.1", asked: str | None = None):
    """Have a program that is told an address and a port connect; yield its process and the connection."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        process = subprocess.Popen(
            [*command, asked or host, str(server.getsockname()[1])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout.readline() == "connected\n"
            accepted, _ = server.accept()
            with accepted:
                yield process, callers.arrive(Accepted(accepted))
        finally:
            process.communicate()


async def look_up(callers: Callers, arrival: Arrival) -> Caller:
    """Find everything out, as the connection does: first its owner, then what else is wanted."""
    assert (arrival.caller.uid, arrival.caller.looked_up) == (None, frozenset())
    found = await callers.look_up(arrival, arrival.caller, frozenset({Fact.OWNER}))
    return await callers.look_up(arrival, found, EVERYTHING - found.looked_up)


@pytest.mark.parametrize(("host", "asked"), [("127.0.0.1", None), ("::1", None), ("127.0.0.1", "::ffff:127.0.0.1")])
async def test_two_processes_are_told_apart(callers, host, asked):
    """Each connection's process is found, with its user, executable, command and ancestors, over every family."""
    command = ("bash", "-c", OPEN + WAIT)
    with client(callers, *command, host=host, asked=asked) as one, client(callers, *command, host=host) as two:
        for process, arrival in (one, two):
            assert decide(arrival.caller, RULES).wants == {Fact.OWNER}
            found = await look_up(callers, arrival)
            program, *ancestors = found.process.lineage
            assert (found.uid, program.pid, program.command) == (os.getuid(), process.pid, "bash")
            assert Path(program.exe).name == "bash"
            assert ancestors[0].pid == os.getpid()
            assert ancestors[-1].pid == 1
            assert (found.cgroup, found.in_container, found.looked_up) == (None, None, EVERYTHING)
            assert decide(found, RULES).instance == "own"
            told = await callers.explain_process(process.pid, "")
            assert (told.uid, told.process) == (found.uid, found.process)


async def test_a_script_has_its_own_name(callers, tmp_path):
    """The file that an interpreter runs is known, also of an ancestor."""
    inner = tmp_path / "inner.py"
    inner.write_text(ACTING.replace("os.seteuid(54321)", ""))
    agent = tmp_path / "agent-x"
    agent.write_text(f'#!/bin/bash\n{sys.executable} {inner} "$1" "$2"\ntrue\n')
    agent.chmod(0o755)
    with client(callers, str(agent)) as (_, arrival):
        found = await look_up(callers, arrival)
    assert [program.script for program in found.process.lineage[:2]] == ["inner.py", "agent-x"]
    assert Match(ancestors=("agent-x",)).matches(found)


@needs_root
async def test_another_user(callers):
    """A process of another user is theirs."""
    with client(callers, *AS_STRANGER, "bash", "-c", OPEN + WAIT) as (process, arrival):
        found = await look_up(callers, arrival)
    assert (found.uid, found.process.program.pid) == (STRANGER, process.pid)
    assert decide(found, RULES).instance == "theirs"


@needs_root
@pytest.mark.parametrize(
    "command",
    [
        ("bash", "-c", f"{OPEN}{' '.join(AS_STRANGER)} sleep 30 & {WAIT}; kill $!"),
        (sys.executable, "-c", ACTING),
    ],
    ids=["two users hold it", "acts for another"],
)
async def test_who_may_be_another_is_unknown(callers, command):
    """A connection that processes of two users hold, or one that acts for another, is nobody's."""
    with client(callers, *command) as (_, arrival):
        found = await look_up(callers, arrival)
    assert (found.uid, found.process, found.looked_up) == (None, None, EVERYTHING)
    assert decide(found, RULES).instance is None


async def test_the_oldest_of_several_holders(callers):
    """A connection that one program opens and another inherits is the opener's."""
    with client(callers, "bash", "-c", f"{OPEN}sleep 30 & {WAIT}; kill $!") as (process, arrival):
        found = await look_up(callers, arrival)
    assert found.process.program.pid == process.pid


async def test_a_client_that_is_gone_is_unknown(callers):
    """Who has left before the look-up is nobody."""
    with client(callers, "bash", "-c", OPEN + WAIT) as (process, arrival):
        process.communicate("\n")
        found = await look_up(callers, arrival)
    assert (found.uid, found.process, found.looked_up) == (None, None, EVERYTHING)
    assert decide(found, RULES).instance is None
    assert (await callers.explain_process(process.pid, "")).uid is None


async def test_a_search_that_takes_too_long_finds_nobody(callers, monkeypatch):
    """An older holder may not have been seen."""
    with client(callers, "bash", "-c", OPEN + WAIT) as (_, arrival):
        monkeypatch.setattr(portable, "LONGEST_LOOK", -1.0)
        assert (await look_up(callers, arrival)).process is None


CONFIG = """\
    region: eu-west-1
    listen: ["http://127.0.0.1:0"]
    metadata_options: {http_tokens: optional}
    roles:
      own: {role_arn: "arn:aws:iam::111122223333:role/own", source: {profile: work}}
      agent: {role_arn: "arn:aws:iam::111122223333:role/agent", source: {profile: work}}
    instances: {agent: {role: agent}}
    callers:
      - {match: {ancestor: agent-x}, instance: agent}
      - {match: {user: "r[o]ot"}, instance: default}
"""
ANOTHER_SYSTEM = """\
import sys
from imds.cli import main
from imds.host import callers, portable

callers._finder = portable.Portable
callers.LONGEST_LOOK = portable.LONGEST_LOOK = 20.0
sys.argv[1:4] = []
main()
"""


@needs_root
def test_a_daemon_of_another_system(home, tmp_path, moto_server):
    """A connection is looked up step by step: its owner and process, then the user's name; others are refused."""
    (tmp_path / "imds").write_text(ANOTHER_SYSTEM)
    agent = tmp_path / "agent-x"
    agent.write_text('#!/bin/bash\ncurl -s "$@"\ntrue\n')
    agent.chmod(0o755)
    served = DaemonProcess(
        home,
        *("serve", "--config", str(write_config(home / "imds.yaml", CONFIG))),
        environment={"AWS_ENDPOINT_URL_STS": moto_server.url},
        prefix=(sys.executable, str(tmp_path / "imds")),
    )
    with served:
        url = f"{served.url}latest/meta-data/iam/security-credentials/"

        def asked_by(*command: str) -> str:
            return subprocess.run([*command, url], capture_output=True, text=True, check=True, timeout=60).stdout

        assert asked_by("curl", "-s") == "own"
        assert asked_by(str(agent)) == "agent"
        assert asked_by("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", "GET") == "200"
        assert asked_by(*AS_STRANGER, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}") == "403"
        assert f"403 to {shutil.which('curl')} (pid" in served.log


def test_a_peer_that_is_not_here(callers):
    """An address that is none of ours has no process here, and none is looked for."""
    finder = Portable()
    assert finder.owner(("192.0.2.1", 1), ("127.0.0.1", 80)) is None
    ends = ("127.0.0.1", 1), ("127.0.0.1", 80)
    assert finder.owner(("::ffff:127.0.0.1", 1), ends[1]) == Connection(*ends)


def test_without_psutil_nobody_is_known(monkeypatch, caplog):
    """Where it is not installed, the log says what that means."""
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert Portable().owner(("127.0.0.1", 1), ("127.0.0.1", 80)) is None
    assert "every caller is unknown" in caplog.text


def test_the_platform_chooses(monkeypatch):
    """Linux asks its kernel, and never imports psutil; others ask psutil."""
    chosen = (
        "import sys; from imds.host.callers import _finder; print(type(_finder()).__name__, 'psutil' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", chosen], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [Linux.__name__, "False"]
    monkeypatch.setattr(looking.sys, "platform", "darwin")
    assert isinstance(looking._finder(), Portable)
    assert finding.LONGEST_LOOK < 1.0, "botocore's patience"
