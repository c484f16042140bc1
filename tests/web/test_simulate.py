"""``imds simulate``: EC2's events and faults over the wire, for whom they are meant and for as long as they are."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from support import wire
from support.answering import CONFIG, LOOPS, start
from support.daemon import clean_environment, write_config
from support.machine import eventually
from support.namespaces import needs_root
from support.users import acting_as

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.daemon import DaemonProcess
    from support.emulators import Moto

ODD = "my+role@x=1,a.b_c-d"
BELOW = "/latest/meta-data/"
ROLES = f"{BELOW}iam/security-credentials/"
RULES = """\
    allow_faults: true
    callers:
      - {match: {user: "12"}, instance: other}
      - {match: {user: "0"}, instance: default}
"""


@contextmanager
def simulating(home: Path, moto_server: Moto, loop: str) -> Iterator[DaemonProcess]:
    """Run a daemon with two instances; the other one belongs to another user."""
    with start(home, moto_server, CONFIG.format(mode="optional") + RULES, loop=loop) as daemon:
        daemon.at = daemon.address  # asked once: it runs a command
        yield daemon


@pytest.fixture(scope="module")
def running(tmp_path_factory, moto_server):
    """A daemon for all."""
    with simulating(tmp_path_factory.mktemp("daemon"), moto_server, LOOPS[0]) as daemon:
        yield daemon


@pytest.fixture(scope="module", params=LOOPS)
def on_either_loop(request, tmp_path_factory, moto_server):
    """A daemon on each event loop, for what is told to a transport."""
    with simulating(tmp_path_factory.mktemp(request.param), moto_server, request.param) as daemon:
        yield daemon


@pytest.fixture
def daemon(running):
    """The same, with nothing simulated."""
    running.imds("simulate", "--clear")
    yield running
    running.imds("simulate", "--clear")


def text(daemon, path: str) -> str | None:
    """Return the text at a path below ``meta-data``; None where there is none."""
    reply = wire.get(daemon.at, BELOW + path)
    assert reply.status in (200, 404)
    return reply.body.decode() if reply.status == 200 else None


def test_a_spot_interruption_comes_and_goes(daemon):
    """The notice is there at once, says when, and is gone when it is cleared."""
    assert text(daemon, "spot/instance-action") is None
    shown = daemon.imds("simulate", "spot-interruption", "--action", "stop", "--notice", "5m").stdout
    notice = json.loads(text(daemon, "spot/instance-action"))
    assert notice["action"] == "stop"
    left = datetime.fromisoformat(notice["time"]) - datetime.now(UTC)
    assert 280 < left.total_seconds() <= 300
    assert shown == f"default: spot-interruption, action stop, time {notice['time']}\n"
    assert text(daemon, "spot/") == "instance-action"
    daemon.imds("simulate", "spot-interruption", "--clear")
    assert text(daemon, "spot/instance-action") is None
    assert text(daemon, "spot") is None


def test_every_event_by_its_command(daemon):
    """Each command changes what it says and nothing else; together they can be listed, and cleared."""
    for command in (
        ("rebalance", "--at", "2020-01-01T00:00:00Z"),
        ("maintenance", "--code", "instance-stop", "--event-id", "e-1", "--not-before", "2030-01-21T09:00:43Z"),
        ("asg-lifecycle", "Terminated"),
        ("role", ODD),
        ("tag", "Stage=test", "Owner=me"),
        ("tag", "--remove", "Owner"),
    ):
        daemon.imds("simulate", *command)
    assert text(daemon, "events/recommendations/rebalance") == '{"noticeTime":"2020-01-01T00:00:00Z"}'
    (event,) = json.loads(text(daemon, "events/maintenance/scheduled"))
    assert (event["EventId"], event["NotBefore"]) == ("e-1", "21 Jan 2030 09:00:43 GMT")
    assert text(daemon, "autoscaling/target-lifecycle-state") == "Terminated"
    assert text(daemon, "iam/security-credentials/") == ODD
    assert text(daemon, "tags/instance") == "Stage"
    listed = json.loads(daemon.imds("simulate", "--list", "--json").stdout)["default"]["now"]
    assert set(listed) == {"rebalance", "maintenance", "asg-lifecycle", "role", "tag"}
    assert daemon.status()["simulated"] == {"default": sorted(listed)}
    assert "simulated for instance default: asg-lifecycle" in daemon.imds("status").stdout
    daemon.imds("simulate", "maintenance", "--event-id", "e-1", "--state", "canceled")
    assert json.loads(text(daemon, "events/maintenance/scheduled")) == []
    assert json.loads(text(daemon, "events/maintenance/history"))[0]["State"] == "canceled"
    daemon.imds("simulate", "--clear")
    assert daemon.imds("simulate", "--list").stdout == "nothing is simulated\n"
    assert text(daemon, "iam/security-credentials/") == "app"


def test_a_detached_role_leaves_nothing(daemon):
    """No list, no document by name, nothing of ``iam/``; the container credentials of the instance are gone too."""
    minted = daemon.imds("env", "app", "--shell", "dotenv").stdout
    url, token = (line.partition("=")[2].strip("'\"") for line in minted.splitlines() if "CONTAINER" in line)
    path = url.removeprefix(daemon.url.rstrip("/"))
    fetch = wire.request("GET", path, {"Authorization": token, "Connection": "close"})
    assert wire.exchange(daemon.at, fetch).status == 200
    daemon.imds("simulate", "role", "--detach")
    assert wire.get(daemon.at, ROLES).status == wire.get(daemon.at, ROLES + "app").status == 404
    document = json.loads(wire.get(daemon.at, "/latest/dynamic/instance-identity/document").body)
    assert document["accountId"] == "111122223333"
    assert wire.get(daemon.at, "/latest/dynamic/instance-identity/signature").status == 200
    assert "iam/" not in text(daemon, "").split("\n")
    assert wire.exchange(daemon.at, fetch).status == 403
    daemon.imds("simulate", "role", "--clear")
    assert wire.exchange(daemon.at, fetch).status == 200


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("role", "private"), f"instance default does not allow role private; it allows: app, {ODD}"),
        (("spot-interruption", "--notice", "soon"), "'soon' is not a duration"),
        (("asg-lifecycle", "Gone"), "'Gone' is not one of 'InService', 'Detached'"),
        (("fault", "reset", "--user", "nobody-of-that-name"), "there is no user nobody-of-that-name"),
        (("tag", "novalue"), "novalue has no value: write KEY=VALUE"),
        (("tag", "X=\udcff"), "the value of X must be a text"),
        (("--clear", "rebalance"), "write options after the event"),
        (("--instance", "other", "rebalance"), "write options after the event"),
    ],
)
def test_a_wrong_event_is_told_and_changes_nothing(daemon, command, message):
    """In words, without a traceback; by the daemon, and by the command where it can tell."""
    failed = daemon.imds("simulate", *command, check=False)
    assert failed.returncode != 0
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr
    assert daemon.imds("simulate", "--list").stdout == "nothing is simulated\n"


SCRIPT = """\
- rebalance:
- {after: 0s, maintenance: {code: instance-retirement, event_id: e-9}}
- {after: 0s, tag: {Stage: test, Owner: null}}
- {after: 0s, fault: {fault: latency, delay: 1ms, for: 10m, user: root, count: 1}}
- {after: 1h, asg-lifecycle: Terminated}
- {after: 1h30m, role: {detach: true}, instance: other}
- {after: 2h, clear: all}
- {after: 2h, clear: tag}
"""


def test_a_script_is_a_timeline(daemon, tmp_path: Path):
    """What is due holds, what is to come is listed, for the instance that it names."""
    script = tmp_path / "drill.yaml"
    script.write_text(SCRIPT)
    daemon.imds("simulate", "--script", str(script))
    told = json.loads(daemon.imds("simulate", "--list", "--json").stdout)
    assert set(told["default"]["now"]) == {"rebalance", "maintenance", "tag", "fault"}
    assert [coming["event"] for coming in told["default"]["coming"]] == ["asg-lifecycle", "clear", "clear"]
    assert told["other"] == {
        "now": {},
        "coming": [{"at": told["other"]["coming"][0]["at"], "event": "role", "role": None}],
    }
    assert text(daemon, "tags/instance/Stage") == "test"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("- rebalance:\n- role: private\n", "instance default does not allow role private"),
        ("- rebalance:\n- {rebalance: , role: app}\n", "names several events"),
    ],
)
def test_a_wrong_script_is_told_at_its_line_and_changes_nothing(daemon, tmp_path: Path, script, message):
    """All of it is taken, or nothing, whoever finds the mistake."""
    path = tmp_path / "drill.yaml"
    path.write_text(script)
    failed = daemon.imds("simulate", "--script", str(path), check=False)
    assert failed.returncode != 0
    assert f"{path}:2: " in failed.stderr
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr
    assert daemon.imds("simulate", "--list").stdout == "nothing is simulated\n"


@pytest.mark.parametrize(
    ("fault", "role", "body", "instance_id"),
    [
        ("unavailable", 503, b"", 503),
        ("throttled", 429, b"", 429),
        ("token-rejected", 401, b"", 401),
        ("no-role", 404, None, 200),
    ],
)
def test_a_fault_is_what_its_name_says(daemon, fault, role, body, instance_id):
    """The answer is marked as simulated, and says nothing else than EC2 would; afterwards all is well."""
    token = wire.get_token(daemon.at)
    daemon.imds("simulate", "fault", fault)
    reply = wire.get(daemon.at, ROLES + "app", token=token)
    assert (reply.status, reply.headers["X-Imds-Fault"]) == (role, fault)
    assert body is None or reply.body == body
    assert wire.get(daemon.at, f"{BELOW}instance-id", token=token).status == instance_id
    daemon.imds("simulate", "fault", "--clear")
    after = wire.get(daemon.at, ROLES + "app", token=token)
    assert (after.status, after.headers.get("X-Imds-Fault")) == (200, None)


def test_a_reset_is_a_reset(on_either_loop):
    """The client's kernel hears RST, before a byte of an answer, however the request is read."""
    on_either_loop.imds("simulate", "fault", "reset", "--for", "5s")
    for head in ({}, {"Expect": "100-continue"}):
        with pytest.raises(ConnectionResetError):
            wire.exchange(on_either_loop.at, wire.request("GET", ROLES + "app", head))
    on_either_loop.imds("simulate", "--clear")


def test_latency_holds_up_its_own_requests_only(on_either_loop):
    """A request waits, however it is read; the daemon does not, and others are answered meanwhile."""
    daemon, path = on_either_loop, f"{BELOW}instance-id"
    daemon.imds("simulate", "fault", "latency", "--delay", "30s", "--count", "2")
    plain, odd = (socket.create_connection(daemon.at, timeout=10) for _ in range(2))
    with plain, odd:
        plain.sendall(wire.request("GET", path))
        odd.sendall(wire.request("GET", path, {"Transfer-Encoding": "chunked"}) + b"0\r\n\r\n")
        eventually(lambda: daemon.status()["simulated"] == {"default": ["fault"]})
        assert wire.get(daemon.at, path).status == 200
        for connection in (plain, odd):
            connection.settimeout(0.1)
            with pytest.raises(TimeoutError):
                connection.recv(1)
    daemon.imds("simulate", "--clear")
    daemon.imds("simulate", "fault", "latency", "--delay", "5ms")
    reply = wire.get(daemon.at, path)
    assert (reply.status, reply.headers["X-Imds-Fault"]) == (200, "latency")
    daemon.imds("simulate", "--clear")


@needs_root
def test_a_fault_may_be_for_one_user_or_instance(daemon):
    """Whoever it does not name notices nothing."""
    daemon.imds("simulate", "fault", "unavailable", "--user", "12")
    assert wire.get(daemon.at, ROLES).status == 200
    daemon.imds("simulate", "--clear")
    daemon.imds("simulate", "fault", "unavailable", "--instance", "other")
    assert wire.get(daemon.at, ROLES).status == 200
    with acting_as(12):
        assert wire.exchange(daemon.at, wire.request("GET", ROLES)).status == 503


def test_a_fault_may_be_for_some_requests(daemon):
    """A burst is over after so many."""
    daemon.imds("simulate", "fault", "unavailable", "--count", "2")
    statuses = [wire.exchange(daemon.at, wire.request("GET", ROLES)).status for _ in range(3)]
    assert statuses == [503, 503, 200]


@pytest.mark.parametrize(("fault", "low", "high"), [("expired", -3700, -3500), ("near-expiry", 60, 120)])
def test_documents_may_tell_another_expiry(daemon, fault, low, high):
    """The date is false, the answer says so, and so does the audit; the true session is untouched."""
    true = json.loads(wire.get(daemon.at, ROLES + "app").body)
    daemon.imds("simulate", "fault", fault)
    reply = wire.get(daemon.at, ROLES + "app")
    told = json.loads(reply.body)
    assert reply.headers["X-Imds-Fault"] == fault
    left = (datetime.fromisoformat(told.pop("Expiration")) - datetime.now(UTC)).total_seconds()
    assert low < left <= high
    assert told == {name: value for name, value in true.items() if name != "Expiration"}
    last = eventually(lambda: _last(daemon, fault))
    assert (last["decision"], last["role"], last["fault"]) == ("given", "app", fault)
    daemon.imds("simulate", "--clear")
    assert json.loads(wire.get(daemon.at, ROLES + "app").body) == true


def _last(daemon, fault: str) -> dict | None:
    last = json.loads(daemon.imds("audit", "--json").stdout.splitlines()[-1])
    return last if last.get("fault") == fault else None


def test_boto3_gets_over_a_burst(daemon, tmp_path: Path):
    """A real client that tries again comes through."""
    daemon.imds("simulate", "fault", "unavailable", "--count", "1")
    code = "import boto3; print(boto3.Session().get_credentials().access_key)"
    environment = clean_environment(tmp_path) | {
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": daemon.url,
        "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "3",
    }
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout.strip() == json.loads(wire.get(daemon.at, ROLES + "app").body)["AccessKeyId"]


def test_a_reload_keeps_what_is_simulated(daemon):
    """Only ``--clear`` and the daemon's end take it away."""
    daemon.imds("simulate", "tag", "Stage=test")
    daemon.imds("reload")
    assert text(daemon, "tags/instance/Stage") == "test"


def test_who_waits_is_decided_about_when_the_wait_is_over(tmp_path: Path, moto_server):
    """A request that a latency holds up gets nothing that a reload has taken away meanwhile."""
    text = CONFIG.format(mode="optional")
    with start(tmp_path, moto_server, text) as daemon:
        address = daemon.address
        daemon.imds("simulate", "fault", "latency", "--delay", "60s")
        head = {"Transfer-Encoding": "chunked"}
        requests = (wire.request("GET", ROLES + "app"), wire.request("GET", ROLES + "app", head) + b"0\r\n\r\n")
        waiting = [socket.create_connection(address, timeout=20) for _ in requests]
        for connection, request in zip(waiting, requests, strict=True):
            connection.sendall(request)
        write_config(tmp_path / "imds.yaml", text + "    callers: [{match: {user: '*'}, refuse: gone}]\n")
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: "configuration read again" in daemon.log)
        write_config(tmp_path / "imds.yaml", text)
        daemon.process.send_signal(signal.SIGTERM)
        answers = [connection.recv(4096) for connection in waiting]
        assert [answer.split(b" ")[1] for answer in answers] == [b"403", b"403"]
        daemon.process.wait(5)
        for connection in waiting:
            connection.close()


def test_a_reload_takes_away_what_it_no_longer_allows(tmp_path: Path, moto_server):
    """False expiries end with ``allow_faults``, and a simulated role with the instance's right to it."""
    text = CONFIG.format(mode="optional")
    with start(tmp_path, moto_server, text + "    allow_faults: true\n") as daemon:
        address = daemon.address
        daemon.imds("simulate", "fault", "expired")
        daemon.imds("simulate", "role", ODD)
        assert wire.get(address, ROLES).body.decode() == ODD
        assert wire.get(address, ROLES + "app").headers["X-Imds-Fault"] == "expired"
        write_config(tmp_path / "imds.yaml", text.replace(f'role: app, roles: ["{ODD}"]', "role: app"))
        daemon.imds("reload")
        assert wire.get(address, ROLES).body == b"app"
        reply = wire.get(address, ROLES + "app")
        assert "X-Imds-Fault" not in reply.headers
        assert datetime.fromisoformat(json.loads(reply.body)["Expiration"]) > datetime.now(UTC)
        assert wire.get(address, ROLES + ODD).status == 404
