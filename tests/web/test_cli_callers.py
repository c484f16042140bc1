"""What the command line says of callers and their rules."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import textwrap

import pytest
from support import wire
from support.answering import CONFIG, start
from support.daemon import clean_environment, write_config
from support.fakes import KNOWN_SECRETS

LIST = "/latest/meta-data/iam/security-credentials/"

RULES = """\
    callers:
      - {match: {ancestor: agent-x}, instance: other}
      - {match: {user: "@daemon"}, instance: default}
      - {match: {user: "@daemon", exe: curl}, instance: other}
      - {match: {network: 172.17.0.0/16}, instance: other}
"""


def check(tmp_path, rules: str) -> subprocess.CompletedProcess[str]:
    """Run ``imds check-config``."""
    path = tmp_path / "imds.yaml"
    path.write_text(textwrap.dedent(CONFIG.format(mode="required") + rules))
    return subprocess.run(
        [sys.executable, "-m", "imds", "check-config", str(path)],
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )


def test_the_decision_table_and_its_warnings(tmp_path):
    """The table says who sees what; what cannot be meant is warned of, with what to do."""
    done = check(tmp_path, RULES)
    assert "1. ancestor agent-x: instance other: role private" in done.stdout
    assert "2. user @daemon: instance default: role app" in done.stdout
    assert "; controls the daemon" in done.stdout
    warned = done.stderr.splitlines()
    assert any("rule 3 (user @daemon, exe curl) is never reached: rule 2 means all" in line for line in warned)
    assert any("rule 1 (ancestor agent-x) goes by a program's name" in line for line in warned)
    assert any("rule 4 (network 172.17.0.0/16) is beyond this host" in line for line in warned)
    assert not any("rule 2" in line.partition("rule 2 means")[0] for line in warned)


def test_a_table_without_warnings(tmp_path):
    """What is right is not warned of."""
    rules = """\
    callers:
      - {match: {unit: "agent-*.scope"}, instance: other}
      - {match: {user: "@daemon"}, instance: default}
"""
    assert "callers" not in check(tmp_path, rules).stderr


@pytest.fixture
def daemon(tmp_path, moto_server):
    """A daemon with rules."""
    with start(tmp_path, moto_server, CONFIG.format(mode="required") + RULES) as running:
        yield running


def test_explain(daemon):
    """For people and for programs: what is known of a caller, each rule's answer, and the outcome."""
    shown = daemon.imds("explain", "--pid", str(os.getpid())).stdout
    assert "  1. ancestor agent-x: no\n  2. user @daemon: yes\n" in shown
    assert shown.endswith("instance default: rule 2 (user @daemon)\n")
    assert f"pid        {os.getpid()}\n" in shown
    shown = daemon.imds("explain", "--from", "172.17.0.9").stdout
    assert shown.endswith("instance other: rule 4 (network 172.17.0.0/16)\n")
    shown = daemon.imds("explain", "--from", "192.168.1.9").stdout
    assert shown.endswith("refused: no rule matches\n")
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert "refused" in daemon.imds("explain", "--pid", str(gone.pid)).stdout


@pytest.mark.parametrize("arguments", [(), ("--pid", "1", "--from", "::1"), ("--from", "nowhere"), ("--pid", "0")])
def test_explain_what(daemon, arguments):
    """A question that names nobody is told so."""
    done = daemon.imds("explain", *arguments, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stderr


def test_a_token_is_of_no_use_to_whom_another_rule_means(daemon, tmp_path):
    """A container token of the owner's shell opens nothing for an agent's child, though it is the same user's."""
    lines = daemon.imds("env", "app", "--shell", "dotenv").stdout.splitlines()
    variables = dict(line.split("=", 1) for line in lines if line.startswith("AWS_CONTAINER"))
    url, secret = (variables[f"AWS_CONTAINER_{name}"] for name in ("CREDENTIALS_FULL_URI", "AUTHORIZATION_TOKEN"))
    KNOWN_SECRETS.append(secret)
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("needs curl")
    asking = f'{curl} -s -o /dev/null -w "%{{http_code}}" -H "Authorization: $TOKEN" {url}\n'
    shell, agent = tmp_path / "shell", tmp_path / "agent-x"
    for script in (shell, agent):
        script.write_text(f"#!/bin/sh\n{asking}true\n")
        script.chmod(0o755)
    answers = {
        script.name: subprocess.run(
            [script], env={"TOKEN": secret, "PATH": "/"}, capture_output=True, text=True, check=True
        ).stdout
        for script in (shell, agent)
    }
    assert answers == {"shell": "200", "agent-x": "403"}
    assert "belongs to instance default, not other" in daemon.log


def test_a_rootless_container_is_not_its_user(tmp_path, moto_server):
    """What a user's pasta asks for is some container's: a rule for containers is not passed by."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("needs curl")
    rules = """\
    callers:
      - {match: {container: {name: "agent-*"}}, instance: other}
      - {match: {user: "@daemon"}, instance: default}
"""
    answers = {}
    with start(tmp_path, moto_server, CONFIG.format(mode="optional") + rules) as daemon:
        for name in ("pasta", "client"):
            program = shutil.copy(curl, tmp_path / name)
            command = [program, "-s", "-o", "/dev/null", "-w", "%{http_code}", f"{daemon.url}{LIST.lstrip('/')}"]
            answers[name] = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert answers == {"pasta": "403", "client": "200"}


def test_a_connection_that_is_older_than_a_rule(tmp_path, moto_server):
    """Who connected before a reload is judged by the new rules, with all that they ask for."""
    text = CONFIG.format(mode="optional")
    with (
        start(tmp_path, moto_server, text) as daemon,
        socket.create_connection(daemon.address, timeout=10) as connection,
    ):
        write_config(tmp_path / "imds.yaml", text + RULES)
        daemon.imds("reload")
        connection.sendall(wire.request("GET", LIST, {"Connection": "close"}))
        reply = wire.Reply(connection.makefile("rb").read())
    assert (reply.status, reply.body) == (200, b"app")


def test_a_loop_hears_503_and_others_do_not_wait(tmp_path, moto_server):
    """Whoever asks without end is told to come again later, before anything is looked up for it."""
    text = CONFIG.format(mode="optional") + "    rate_limit: 5\n"
    with start(tmp_path, moto_server, text) as daemon:
        request = wire.request("GET", "/latest/meta-data/", {"Connection": "close"})
        address = daemon.address
        answers = [wire.exchange(address, request).status for _ in range(80)]
    assert answers[:50] == [200] * 50
    assert answers.count(503) >= 20
    assert set(answers) == {200, 503}
