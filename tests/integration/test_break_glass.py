"""Break-glass roles over the wire: recorded and told before AWS is asked, for one user, for a while."""

from __future__ import annotations

import json
import os
import pwd
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from time import sleep

import pytest
from support import sts as stand_in
from support import wire
from support.daemon import DaemonProcess, write_config
from support.machine import eventually
from support.users import acting_as

MINUTE = timedelta(minutes=1)
REASON = "INC-1234 disk full on db-7"
CREDENTIALS = "/latest/meta-data/iam/security-credentials/"
ROLES = """\
    region: eu-west-1
    listen: ["http://127.0.0.1:0"]
    metadata_options: {{http_tokens: optional}}
    roles:
      app: {{role_arn: "arn:aws:iam::111122223333:role/app", source: {{profile: work}}}}
      admin:
        role_arn: arn:aws:iam::111122223333:role/admin
        source: {{profile: work}}
        stamp: [tags, source_identity]
        break_glass: {{reason: "^INC-[0-9]+", max_ttl: 2h, notify: [{{command: [{told}]}}]{more}}}
    instances:
      default: {{role: app, roles: [admin]}}
      other: {{role: app, roles: [admin]}}
"""
TELL = "#!/bin/sh\n{first}cat >> {folder}/told\nprintf '\\n' >> {folder}/told\n"


@contextmanager
def serving(home: Path, sts, *, more: str = "", rules: str = "", first: str = "", **environment: str):
    """Run a daemon whose break-glass role is told to a file."""
    program = home / "tell"
    program.write_text(TELL.format(first=first, folder=home))
    program.chmod(0o755)
    config = write_config(home / "imds.yaml", ROLES.format(told=program, more=more) + rules)
    variables = {"AWS_ENDPOINT_URL_STS": sts.url} | environment
    with DaemonProcess(home, "serve", "--config", str(config), environment=variables) as served:
        yield served


def ask(served: DaemonProcess, *, path: Path | None = None, **body: object) -> tuple[int, dict]:
    """Return the answer to who wants the role."""
    wanted = {"role": "admin", "reason": REASON} | body
    return wire.control(path or served.control_socket, "POST", "/v1/activations", json.dumps(wanted))


def told(home: Path) -> list[dict]:
    """Return what was told."""
    file = home / "told"
    return [json.loads(line) for line in file.read_text().splitlines() if line.strip()] if file.exists() else []


def events(home: Path) -> list[str]:
    """Return the events that were told."""
    return [one["event"] for one in told(home)]


def of_admin(sts) -> list[dict[str, str]]:
    """Return what STS was asked for the role."""
    return [call for call in sts.calls if call.get("RoleArn", "").endswith("role/admin")]


def by_name(served: DaemonProcess) -> wire.Reply:
    """Return the answer to who reads the role's credentials by its name."""
    return wire.get(served.address, f"{CREDENTIALS}admin")


def decisions(served: DaemonProcess) -> list[str]:
    """Return what is on record of the role."""
    lines = map(json.loads, served.imds("audit", "--json").stdout.splitlines())
    return [line["decision"] for line in lines if line.get("role") == "admin"]


def test_nobody_has_it_unasked(home, sts):
    """AWS is not asked for it, no listing names it, no way to it opens; it is attached and leased to nobody."""
    with serving(home, sts) as served:
        assert wire.get(served.address, CREDENTIALS).body == b"app"
        assert by_name(served).status == 404
        for verb, body in (
            ("container-tokens", {"role": "admin"}),
            ("leases", {"role": "admin"}),
            ("use", {"role": "admin"}),
            ("refresh", {"role": "admin"}),
            ("simulations", {"events": [{"event": "role", "role": "admin"}]}),
        ):
            status, answer = wire.control(served.control_socket, "POST", f"/v1/{verb}", json.dumps(body))
            assert (status, "admin" in answer["error"]) == (400, True), (verb, answer)
        served.imds("refresh")
        assert of_admin(sts) == []
        assert served.imds("exec", "admin", "--", "true", check=False).returncode != 0


def test_recorded_and_told_before_aws_is_asked(home, sts):
    """When AWS is asked, the record is on the disk and the program has ended; then the user's callers have the role."""
    seen = []

    def admin(call: stand_in.Call) -> stand_in.Answer:
        if call.get("RoleArn", "").endswith("role/admin"):
            lines = (home / "state/imds/audit.jsonl").read_text().splitlines()
            seen.append((events(home), [json.loads(line)["decision"] for line in lines if '"admin"' in line]))
        return usual(call)

    usual, sts.behaviour = sts.session, admin
    with serving(home, sts) as served:
        done = served.imds("activate", "admin", "--reason", REASON, "--ttl", "30m")
        assert (done.returncode, "is active until" in done.stdout) == (0, True), done.stderr
        assert seen == [(["activated"], ["activating"])]
        (call,) = of_admin(sts)
        assert call["DurationSeconds"] == "1800"
        tags = {call[f"Tags.member.{n}.Key"]: call[f"Tags.member.{n}.Value"] for n in (1, 2, 3)}
        assert (tags["reason"], call["SourceIdentity"]) == (REASON, tags["user"])
        assert call["RoleSessionName"].endswith(f"-activation-{tags['lease']}")
        (notice,) = told(home)
        assert (notice["event"], notice["reason"], notice["id"]) == ("activated", REASON, tags["lease"])
        assert by_name(served).status == 200
        assert wire.get(served.address, CREDENTIALS).body == b"app", "it is listed nowhere, active or not"
        assert served.imds("exec", "admin", "--", "true").returncode == 0
        again, answer = ask(served)
        assert (again, "already" in answer["error"]) == (400, True)
        ended = served.imds("deactivate", "admin")
        assert (ended.returncode, "aws:userid" in ended.stdout) == (0, True)
        assert by_name(served).status == 404
        eventually(lambda: events(home) == ["activated", "ended"])
        assert decisions(served)[:4] == ["activating", "activated", "given", "activation refused"]
        assert served.imds("audit", "--verify").returncode == 0


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"reason": "because"}, "must match"),
        ({"reason": ""}, "must match"),
        ({"ttl": 3 * 3600}, "at most"),
        ({"ttl": 5}, "between"),
        ({"ttl": True}, "whole number"),
        ({"role": "app"}, "no break-glass role"),
        ({"role": "nobody"}, "not one of yours"),
        ({"reason": "INC-1" + "x" * 2000}, "at most"),
        ({"code": "12"}, "six digits"),
    ],
)
def test_what_is_not_given(home, sts, body, says):
    """Who says no reason, wants it for longer, or wants something else, is told why, and nobody hears of it."""
    with serving(home, sts) as served:
        status, answer = ask(served, **body)
        assert (status in (400, 404), says in answer["error"]) == (True, True), answer
        assert (told(home), of_admin(sts)) == ([], [])


def test_no_notification_means_no_access(home, sts):
    """A program that fails keeps the role away, and AWS is not asked; where that is allowed it does not."""
    with serving(home, sts, first="exit 3\n") as served:
        status, answer = ask(served)
        assert (status, "could be told" in answer["error"]) == (403, True)
        assert (by_name(served).status, of_admin(sts)) == (404, [])
        assert decisions(served) == ["activating", "activation refused"]
    with serving(home, sts, first="exit 3\n", more=", on_notify_failure: allow") as served:
        assert ask(served)[0] == 201
        assert by_name(served).status == 200


def test_a_refusal_by_aws_is_told(home, sts):
    """Who was told that somebody has the role is told that AWS has not given it."""
    usual = sts.session

    def deny(call: stand_in.Call) -> stand_in.Answer:
        if call.get("RoleArn", "").endswith("role/admin"):
            return stand_in.error("AccessDenied", "not for you", status=403)(call)
        return usual(call)

    sts.behaviour = deny
    with serving(home, sts) as served:
        status, answer = ask(served)
        assert (status, "not for you" in answer["error"]) == (409, True)
        assert by_name(served).status == 404
        eventually(lambda: events(home) == ["activated", "refused"])
        assert served.status()["leases"] == []


def test_two_at_once_are_one(home, sts):
    """Of two that race for the same role one has it, and AWS is asked once."""
    with serving(home, sts, first="sleep 0.2\n") as served:
        answers = []
        racing = [threading.Thread(target=lambda: answers.append(ask(served)[0])) for _ in range(4)]
        for one in racing:
            one.start()
        for one in racing:
            one.join()
        assert sorted(answers) == [201, 400, 400, 400]
        assert (len(of_admin(sts)), events(home)) == (1, ["activated"])


def test_it_ends_at_its_time(home, sts, clocks):
    """At its last second it is given, a second later it is not, and its end is told; a machine asleep counts."""
    with serving(home, sts, **clocks.environment) as served:
        assert ask(served, ttl=1800)[0] == 201
        clocks.suspend(29 * MINUTE)
        assert by_name(served).status == 200
        clocks.suspend(MINUTE)
        assert by_name(served).status == 404
        eventually(lambda: events(home) == ["activated", "ended"])
        assert len(of_admin(sts)) == 1, "it is not renewed"


def test_another_users_processes_do_not_have_it(home, sts, tmp_path):
    """It is the user's who asked, in the instance that they see."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to act as another user")
    rules = """\
    callers:
      - {match: {user: nobody}, instance: default}
      - {match: {user: root}, instance: default}
"""
    with serving(home, sts, rules=rules) as served:
        assert ask(served)[0] == 201
        address = served.address
        assert wire.get(address, f"{CREDENTIALS}admin").status == 200
        with acting_as(65534):
            assert wire.get(address, CREDENTIALS).body == b"app"
            assert wire.get(address, f"{CREDENTIALS}admin").status == 404


def test_a_reload_that_changes_it_ends_it(home, sts):
    """Who is given the role under other terms asks again; an unchanged configuration ends nothing."""
    with serving(home, sts) as served:
        assert ask(served)[0] == 201
        served.imds("reload")
        assert by_name(served).status == 200
        file = home / "imds.yaml"
        file.write_text(file.read_text().replace("max_ttl: 2h", "max_ttl: 1h"))
        served.imds("reload")
        assert by_name(served).status == 404
        eventually(lambda: events(home) == ["activated", "ended"])


def test_the_end_is_told_after_a_crash(home, sts):
    """A killed daemon tells nobody, so the next one does; nothing is active any more."""
    with serving(home, sts) as served:
        assert ask(served)[0] == 201
        served.process.send_signal(signal.SIGKILL)
        served.process.wait()
    with serving(home, sts) as served:
        eventually(lambda: events(home) == ["activated", "ended"])
        assert by_name(served).status == 404
        eventually(lambda: "activation ended" in decisions(served))
        assert json.loads((home / "state/imds/activations.json").read_text())["activations"] == []


def test_a_stop_tells_the_end(home, sts):
    """Who was told that somebody has the role hears of its end before the daemon is gone."""
    with serving(home, sts) as served:
        assert ask(served)[0] == 201
    assert events(home) == ["activated", "ended"]


def test_a_code_of_its_own(home, sts):
    """With mfa each activation takes a code, which opens the keys' session after everybody was told."""
    keys = 'source: {{profile: work, mfa_serial: "arn:aws:iam::111122223333:mfa/me"}}'
    text = ROLES.replace("source: {{profile: work}}\n        stamp", f"{keys}\n        stamp")
    assert keys in text
    program = home / "tell"
    program.write_text(TELL.format(first="", folder=home))
    program.chmod(0o755)
    config = write_config(home / "imds.yaml", text.format(told=program, more=", mfa: true"))
    with DaemonProcess(home, "serve", "--config", str(config), environment={"AWS_ENDPOINT_URL_STS": sts.url}) as served:
        status, answer = ask(served)
        assert (status, answer) == (202, {"needs": "code", "role": "admin"})
        assert (told(home), by_name(served).status) == ([], 404)
        done = served.imds("activate", "admin", "--reason", REASON, typed="123456\n", check=False)
        assert done.returncode == 0, done.stderr
        codes = [call["TokenCode"] for call in sts.calls if "TokenCode" in call]
        assert codes == ["123456"]
        assert by_name(served).status == 200


GROUP, BOB, EVE = "daemon", 33, 34


@contextmanager
def shared(home: Path, sts, approvers: str) -> Iterator[tuple[DaemonProcess, Path]]:
    """Run a daemon whose control socket is open to a group, with a role that others approve."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        rules = f"""\
      approver: {{role: null, control: true}}
      agent: {{role: null}}
    control_socket: {folder}/control.sock
    control_group: {GROUP}
    callers:
      - {{match: {{user: "{BOB}"}}, instance: approver}}
      - {{match: {{user: "{EVE}"}}, instance: agent}}
      - {{match: {{user: root}}, instance: default}}
"""
        socket = {"IMDS_CONTROL_SOCKET": f"{folder}/control.sock"}
        with serving(home, sts, more=f", approvers: {approvers}", rules=rules, **socket) as served:
            yield served, Path(folder) / "control.sock"


def as_user(path: Path, uid: int, method: str, verb: str, body: str = "") -> tuple[int, dict]:
    """Return the answer to another user, who is in the socket's group."""
    command = ["curl", "-sS", "-X", method, "--unix-socket", path, "-w", "\n%{http_code}", "-d", body]
    command.append(f"http://imds/v1/{verb}")
    done = subprocess.run(
        command, user=uid, group=GROUP, extra_groups=[], capture_output=True, text=True, timeout=30, check=False
    )
    text, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(text)


needs_users = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("curl") is None, reason="needs root, to act as other users, and curl"
)


@needs_users
def test_somebody_else_approves(home, sts):
    """It waits for a user of the list; nobody else can approve it, who asks least of all; then it is given once."""
    bob = pwd.getpwuid(BOB).pw_name
    with shared(home, sts, f"[{bob}]") as (served, path):
        status, answer = ask(served, path=path)
        assert (status, answer["needs"]) == (202, "approval")
        request = answer["request"]["id"]
        assert ask(served, path=path)[1]["request"]["id"] == request, "asking again asks nobody again"
        eventually(lambda: events(home) == ["asked"])
        assert ask(served, path=path, reason="INC-9 else")[1]["request"]["id"] != request
        own, why = wire.control(path, "POST", f"/v1/requests/{request}", '{"approve": true}')
        assert (own, "somebody else" in why["error"]) == (403, True)
        assert as_user(path, EVE, "POST", f"requests/{request}", '{"approve": true}')[0] == 404
        assert as_user(path, EVE, "GET", "requests")[1] == {"requests": []}
        assert (of_admin(sts), by_name(served).status) == ([], 404)
        seen = as_user(path, BOB, "GET", "requests")[1]["requests"]
        assert next(one["id"] for one in seen if one["yours_to_answer"]) == request
        assert as_user(path, BOB, "POST", f"requests/{request}", '{"approve": true}')[0] == 200
        assert as_user(path, BOB, "POST", f"requests/{request}", '{"approve": true}')[0] == 400
        status, answer = ask(served, path=path)
        assert (status, f"approved by {bob}" in answer["told"]) == (201, True)
        assert by_name(served).status == 200
        served.imds("deactivate", "admin", "--socket", str(path))
        assert ask(served, path=path)[0] == 202, "an approval is good for one activation"


@needs_users
def test_an_attempt_that_fails_uses_no_approval_up(home, sts):
    """What was approved may be tried again where somebody could not be told, or AWS has not given it."""
    bob = pwd.getpwuid(BOB).pw_name
    with shared(home, sts, f"[{bob}]") as (served, path):
        request = ask(served, path=path)[1]["request"]["id"]
        as_user(path, BOB, "POST", f"requests/{request}", '{"approve": true}')
        sts.behaviour = stand_in.error("AccessDenied", "not yet", status=403)
        status, answer = ask(served, path=path)
        assert (status, "not yet" in answer["error"]) == (409, True)
        sts.behaviour = None
        assert ask(served, path=path)[0] == 201


@needs_users
def test_an_agent_of_an_approver_approves_nothing(home, sts):
    """A user of the list who sees an instance without control is refused, and a denial is heard by who asked."""
    eve, bob = pwd.getpwuid(EVE).pw_name, pwd.getpwuid(BOB).pw_name
    with shared(home, sts, f"[{eve}, {bob}]") as (served, path):
        request = ask(served, path=path)[1]["request"]["id"]
        status, answer = as_user(path, EVE, "POST", f"requests/{request}", '{"approve": true}')
        assert (status, "control: true" in answer["error"]) == (403, True)
        assert as_user(path, BOB, "POST", f"requests/{request}", '{"approve": false}')[1]["answer"] == "denied"
        status, answer = ask(served, path=path)
        assert (status, "denied" in answer["error"]) == (403, True)
        assert (of_admin(sts), by_name(served).status) == ([], 404)


@pytest.mark.timeout(120)
def test_killed_at_any_moment_it_was_never_given_unrecorded(home, sts):
    """However far an activation came, AWS was never asked without its line on the disk and its notification."""
    chance = random.Random(11)
    log = home / "state/imds/audit.jsonl"
    reached = 0
    for _ in range(12):
        with serving(home, sts, first="sleep 0.05\n") as served:
            asking = threading.Thread(target=lambda served=served: _quietly(served), daemon=True)
            asking.start()
            sleep(chance.uniform(0, 0.25))
            served.process.send_signal(signal.SIGKILL)
            served.process.wait()
            asking.join(5)
        recorded = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        activating = {line["activation"] for line in recorded if line["decision"] == "activating"}
        notified = {one["id"] for one in told(home) if one["event"] == "activated"}
        given = {call["RoleSessionName"].rpartition("-")[2] for call in of_admin(sts)}
        assert given <= activating & notified
        assert notified <= activating
        reached = len(given)
    assert reached > 0, "some came as far as AWS"


def _quietly(served: DaemonProcess) -> None:
    with suppress(OSError, ValueError, IndexError):
        ask(served)


def test_the_end_is_told_over_the_channels_of_the_beginning(home, sts):
    """A reload that takes the role away tells who was told, whatever it says of notifications."""
    with serving(home, sts) as served:
        assert ask(served)[0] == 201
        file = home / "imds.yaml"
        lines = [line for line in file.read_text().splitlines() if "break_glass" not in line]
        file.write_text("\n".join(lines) + "\n")
        served.imds("reload")
        eventually(lambda: events(home) == ["activated", "ended"])


def test_a_stop_while_it_is_told_gives_nothing(home, sts):
    """An activation that a stop overtakes asks AWS for nothing, and who was told hears that."""
    with serving(home, sts, first="sleep 0.5\n") as served:
        asking = threading.Thread(target=_quietly, args=(served,), daemon=True)
        asking.start()
        eventually(lambda: (home / "state/imds/audit.jsonl").read_text().count('"activating"') == 1)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(20) == 0
        asking.join(5)
    assert (events(home), of_admin(sts)) == (["activated", "refused"], [])


def test_who_connected_and_has_ended_activates_nothing(home, sts):
    """Where it cannot be told whether a lease's scope holds who asks, nothing is given."""
    script = (
        "import os, socket, sys, time\n"
        "line = socket.socket(socket.AF_UNIX); line.connect(sys.argv[1])\n"
        "if os.fork(): os._exit(0)\n"
        "time.sleep(0.3)\n"
        "body = sys.argv[2].encode()\n"
        "line.sendall(b'POST /v1/activations HTTP/1.1\\r\\nHost: imds\\r\\nConnection: close\\r\\nContent-Length: '\n"
        "    + str(len(body)).encode() + b'\\r\\n\\r\\n' + body)\n"
        "print(line.makefile('rb').read().decode())\n"
    )
    with serving(home, sts) as served:
        wanted = json.dumps({"role": "admin", "reason": REASON})
        command = [sys.executable, "-c", script, str(served.control_socket), wanted]
        said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
        assert ("403" in said.splitlines()[0], "not known" in said) == (True, True), said
        assert (told(home), of_admin(sts)) == ([], [])


def test_a_reason_that_takes_for_ever_holds_nobody_up(home, sts):
    """An expression that goes astray on somebody's text finds nothing in it; clients have their answers meanwhile."""
    with serving(home, sts) as served:
        file = home / "imds.yaml"
        file.write_text(file.read_text().replace("^INC-[0-9]+", "^([A-Za-z0-9-]+ ?)+$"))
        served.imds("reload")
        address, answers = served.address, []
        asking = threading.Thread(target=lambda: answers.append(ask(served, reason="a" * 60 + "!")))
        asking.start()
        while asking.is_alive():
            assert wire.get(address, CREDENTIALS).body == b"app"
            asking.join(0.05)
        ((status, answer),) = answers
        assert (status, "must match" in answer["error"]) == (400, True)
