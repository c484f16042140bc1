"""Leases over the wire: sessions of their own, narrowed, stamped, ended; each end on record."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support import sts as stand_in
from support import wire
from support.daemon import DaemonProcess, write_config, write_profile
from support.engine import StandInEngine
from support.leases import FETCH, TOKEN, URL, Granted, ask, grant
from support.machine import eventually
from support.namespaces import needs_root
from support.neighbourhood import Neighbourhood
from support.users import acting_as

from imds.core.leases import MOST_OF_USER
from imds.daemon.leasing import AT_ONCE

ARN = "arn:aws:iam::111122223333:role/app"
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
WAIT = "; import sys; sys.stdin.read()"
ROLES = """\
    region: eu-west-1
    listen: ["http://127.0.0.1:0"]
    roles:
      app: {role_arn: "arn:aws:iam::111122223333:role/app", source: {profile: work}, duration: 12h}
      stamped:
        role_arn: arn:aws:iam::111122223333:role/stamped
        source: {profile: work}
        stamp: [tags, source_identity]
      chained: {role_arn: "arn:aws:iam::444455556666:role/chained", source: {role: app}}
      viewer: {role_arn: "arn:aws:iam::111122223333:role/viewer", source: {profile: work}, read_only: true}
      ci: {role_arn: "arn:aws:iam::111122223333:role/ci", source: {web_identity: {token_command: [echo, a.b.c]}}}
      okta: {role_arn: "arn:aws:iam::111122223333:role/o", source: {saml: {assertion_file: /nowhere/assertion}}}
      me: {source: {profile: work}}
      root:
        source:
          assume_root:
            profile: work
            target_principal: "444455556666"
            task_policy_arn: arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials
      private: {role_arn: "arn:aws:iam::111122223333:role/private", source: {profile: work}}
    instances:
      default: {role: app, roles: [stamped, chained, viewer, ci, okta, me, root]}
      other: {role: app}
"""


def daemon(home: Path, sts, text: str = ROLES, **environment: str) -> DaemonProcess:
    """Return a daemon."""
    config = write_config(home / "imds.yaml", text)
    return DaemonProcess(
        home, "serve", "--config", str(config), environment={"AWS_ENDPOINT_URL_STS": sts.url} | environment
    )


def of_lease(sts, lease: Granted) -> list[dict[str, str]]:
    """Return what STS was asked for it."""
    return [call for call in sts.calls if call.get("RoleSessionName", "").endswith(lease.id)]


def records(served: DaemonProcess, lease: Granted | str) -> list[dict]:
    """Return the lines on record about a lease."""
    lease_id = lease if isinstance(lease, str) else lease.id
    lines = served.imds("audit", "--json").stdout.splitlines()
    return [line for line in map(json.loads, lines) if line.get("lease") == lease_id]


def test_a_session_of_its_own(home, sts):
    """A lease's keys are not the role's; its session is named after it and asked for as long as it lives."""
    with daemon(home, sts) as served:
        lease = grant(served, ttl=7200, read_only=True)
        document = json.loads(lease.get(served).body)
        (call,) = of_lease(sts, lease)
        roles = {role["name"]: role["access_key_id"] for role in served.status()["roles"]}
        assert document["AccessKeyId"] not in roles.values()
        assert document["RoleArn"] == ARN
        assert call["DurationSeconds"] == "7200"
        assert call["PolicyArns.member.1.arn"] == "arn:aws:iam::aws:policy/ReadOnlyAccess"
        assert "Tags.member.1.Key" not in call
        assert "SourceIdentity" not in call
        assert lease.told["session_name"] == call["RoleSessionName"]
        short = grant(served, ttl=60)
        assert of_lease(sts, short)[0]["DurationSeconds"] == "900", "AWS's shortest"


def test_a_role_of_a_token_is_narrowed(home, sts):
    """An OIDC token's session takes a policy and a name, too."""
    with daemon(home, sts) as served:
        lease = grant(served, role="ci", policy='{"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}')
        (call,) = of_lease(sts, lease)
        assert call["Action"] == "AssumeRoleWithWebIdentity"
        assert call["DurationSeconds"] == "1800"
        assert json.loads(call["Policy"])["Statement"] == [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]


def test_a_role_that_allows_an_hour_only(home, sts):
    """Where AWS refuses a longer session the lease begins with an hour, and is renewed."""

    def short(call: dict[str, str]) -> stand_in.Answer:
        refusal = stand_in.error("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration")
        return refusal(call) if int(call.get("DurationSeconds", 0)) > 3600 else sts.session(call)

    sts.behaviour = short
    with daemon(home, sts) as served:
        lease = grant(served, ttl=7200)
        assert lease.get(served).status == 200
        assert [call["DurationSeconds"] for call in of_lease(sts, lease)] == ["7200", "3600"]


def test_what_the_role_says_is_stamped(home, sts):
    """Lease, reason and user as tags, and the user as source identity; a tag of one's own besides."""
    with daemon(home, sts) as served:
        lease = grant(served, role="stamped", reason="INC-1 [now]", tags={"ticket": "7"})
        (call,) = of_lease(sts, lease)
        tags = {call[f"Tags.member.{n}.Key"]: call[f"Tags.member.{n}.Value"] for n in range(1, 5)}
        user = call["SourceIdentity"]
        assert tags == {"lease": lease.id, "reason": "INC-1 -now-", "user": user, "ticket": "7"}
        assert [line["reason"] for line in records(served, lease)] == ["INC-1 [now]"], "the record has the whole"


def test_a_denied_stamp_names_the_statement(home, sts):
    """Where the trust policy lacks sts:TagSession the answer says so, and nothing of the lease is left."""
    words = "User: x is not authorized to perform: sts:TagSession on resource: y"
    with daemon(home, sts) as served:
        sts.behaviour = stand_in.error("AccessDenied", words, status=403)
        done = served.imds("lease", "stamped", check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert "must allow sts:TagSession beside sts:AssumeRole" in done.stderr
        assert served.status()["leases"] == []
        lines = [json.loads(line) for line in served.imds("audit", "--json").stdout.splitlines()]
        assert [line["decision"] for line in lines] == ["lease refused"]
        assert "sts:TagSession" in lines[0]["because"]
        assert " of stamped denied to " in served.imds("audit").stdout


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"role": "private"}, 404, "role private is not one of yours"),
        ({"role": "nobody"}, 404, "role nobody is not one of yours"),
        ({"role": "me", "read_only": True}, 400, "{role_arn: ARN, source: {role: me}}"),
        ({"role": "me"}, 400, "cannot be leased"),
        ({"role": "okta"}, 400, "{role_arn: ARN, source: {role: okta}}"),
        ({"role": "ci", "tags": {"a": "1"}}, 400, "its identity provider sets them"),
        ({"role": "root"}, 400, "a root session is served as it is"),
        ({"role": "viewer", "policy": '{"Statement": {"Effect": "Allow", "Action": "*"}}'}, 400, "adds up"),
        ({"policy": "nonsense"}, 400, "the policy is not JSON"),
        ({"ttl": 59}, 400, "between 1 minute and 12 hours"),
        ({"ttl": 43201}, 400, "between 1 minute and 12 hours"),
        ({"ttl": True}, 400, "between 1 minute and 12 hours"),
        ({"reason": "x" * 1001}, 400, "at most 1000"),
        ({"tags": {"a": 1}}, 400, "strings"),
        ({"tags": {"aws:x": "1"}}, 400, "not yours to choose"),
        ({"read_only": "yes"}, 400, "true or false"),
        ({"instance": "nowhere"}, 404, "no instance nowhere"),
        ({"instance": "other"}, 400, "169.254.170.2"),
        ({"instance": "other", "role": "viewer"}, 404, "not one of yours"),
    ],
)
def test_what_is_no_lease(leasable, body, status, said):
    """Each is refused with what to do about it, without a session asked of AWS."""
    served, sts = leasable
    before = len(sts.calls)
    got, answer = ask(served, **body)
    assert (got, list(answer)) == (status, ["error"])
    assert said in answer["error"]
    assert len(sts.calls) == before


@pytest.fixture(scope="module")
def leasable(tmp_path_factory):
    """A daemon whose roles are of every kind, and its STS."""
    home = tmp_path_factory.mktemp("leasable")
    write_profile(home)
    with stand_in.StandInSts() as sts, daemon(home, sts) as served:
        yield served, sts


def test_it_ends_at_its_time(home, sts, clocks):
    """At its last second the credentials are given, a second later they are not; a machine asleep counts."""
    with daemon(home, sts, **clocks.environment) as served:
        lease = grant(served, ttl=1800)
        assert lease.get(served).status == 200
        clocks.suspend(29 * MINUTE)
        assert lease.get(served).status == 200
        clocks.suspend(MINUTE)
        assert lease.get(served).status == 401
        assert served.status()["leases"] == []
        _, given, _, ended = eventually(lambda: (found := records(served, lease)) and len(found) == 4 and found)
        assert (given["decision"], ended["decision"]) == ("given", "lease ended")
        assert ended["because"] == "its time is over"
        assert len(of_lease(sts, lease)) == 1, "its session is not renewed"


def test_a_clock_set_back_does_not_keep_it(home, sts, clocks):
    """The time really elapsed ends it."""
    with daemon(home, sts, **clocks.environment) as served:
        lease = grant(served, ttl=1800)
        clocks.step(-10 * HOUR)
        clocks.suspend(31 * MINUTE)
        assert lease.get(served).status == 401


def test_a_chained_role_is_renewed_until_the_end(home, sts, clocks):
    """AWS gives an hour: a session of three is renewed meanwhile, each time for no longer than the lease has left."""
    with daemon(home, sts, **clocks.environment) as served:
        lease = grant(served, role="chained", ttl=3 * 3600)
        first = json.loads(lease.get(served).body)["AccessKeyId"]
        for _ in range(4):
            clocks.suspend(40 * MINUTE)
            sts.ahead = clocks.ahead
            lease.get(served)
            eventually(lambda: lease.get(served).status == 200)
        eventually(lambda: json.loads(lease.get(served).body)["AccessKeyId"] != first)
        spans = [int(call["DurationSeconds"]) for call in of_lease(sts, lease)]
        assert spans[:2] == [3600, 3600]
        assert all(900 <= span <= 3600 for span in spans)
        clocks.suspend(20 * MINUTE)
        assert lease.get(served).status == 401
        asked = len(of_lease(sts, lease))
        clocks.suspend(2 * HOUR)
        lease.get(served)
        assert len(of_lease(sts, lease)) == asked


def test_what_has_ended_is_not_renewed(home, sts, clocks):
    """AWS is asked for no more sessions of a lease that was revoked, while those of its role go on."""
    with daemon(home, sts, **clocks.environment) as served:
        lease = grant(served, role="chained", ttl=3 * 3600)
        served.imds("revoke", lease.id)
        role = lease.told["session_name"].removesuffix(f"-lease-{lease.id}")

        def renewals() -> int:
            wire.get_token(served.address)
            arn = "arn:aws:iam::444455556666:role/chained"
            return sum((call.get("RoleArn"), call.get("RoleSessionName")) == (arn, role) for call in sts.calls)

        for number in (2, 3):
            clocks.suspend(40 * MINUTE)
            sts.ahead = clocks.ahead
            eventually(lambda number=number: renewals() >= number)
            eventually(lambda: _has_a_new_session(served, "chained"))  # AWS was asked; it answers before we go on
        assert len(of_lease(sts, lease)) == 1


def _has_a_new_session(served: DaemonProcess, name: str) -> bool:
    """Whether a role's session has most of its hour left."""
    return any(
        role["remaining_seconds"] > 50 * MINUTE.total_seconds()
        for role in served.status()["roles"]
        if role["name"] == name
    )


def test_revoked_at_once(home, sts):
    """The next request gets nothing; it is said until when its keys work, and which policy ends only them."""
    with daemon(home, sts) as served:
        lease, other, unused = (grant(served) for _ in range(3))
        document = json.loads(lease.get(served).body)
        done = json.loads(served.imds("revoke", lease.id, "--json").stdout)
        assert lease.get(served).status == 401
        assert other.get(served).status == 200
        assert done["keys_work_until"] == document["Expiration"]
        (statement,) = done["policy"]["Statement"]
        name = of_lease(sts, lease)[0]["RoleSessionName"]
        assert statement["Condition"] == {"StringLike": {"aws:userid": f"*:{name}"}}
        again = served.imds("revoke", lease.id)
        assert f"--role-name app --policy-name imds-revoke-{lease.id}" in again.stdout, "as long as its keys work"
        assert "nobody was ever given its keys" in served.imds("revoke", unused.id).stdout
        assert served.imds("revoke", unused.id, check=False).returncode == 1
        assert served.imds("revoke", "nonsense", check=False).returncode == 1
        lines = records(served, lease)
        assert [line["decision"] for line in lines] == ["leased", "given", "lease ended"]
        assert lines[-1]["owner"] == os.getuid()
        assert f"lease {lease.id} of app ended: revoked by " in served.imds("audit").stdout
        assert json.loads(served.imds("leases", "--json").stdout)[0]["id"] == other.id


def start(served: DaemonProcess, *arguments: str) -> subprocess.Popen[str]:
    """Start ``imds`` with a command that waits for its standard input to end."""
    return subprocess.Popen(
        [sys.executable, "-m", "imds", *arguments, "--", sys.executable, "-c", FETCH + WAIT],
        env=served.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("how", [("lease", "app", "--read-only"), ("exec", "--lease", "30m", "--read-only")])
def test_it_ends_with_its_command(home, sts, how):
    """While the command runs it has credentials; when it is done the lease has ended already."""
    with daemon(home, sts) as served:
        with start(served, *how) as running:
            assert running.stdout.readline() == "200\n"
            (lease,) = served.status()["leases"]
            assert (lease["narrowed"], lease["held"]) == ("read-only", True)
            assert f"{lease['id']}  app  read-only" in served.imds("leases").stdout
            assert f"and 1 lease (imds leases)\n  {lease['id']}" in served.imds("status").stdout
            running.stdin.close()
            assert running.wait(30) == 0
        assert served.status()["leases"] == []
        assert records(served, lease["id"])[-1]["because"] == "its command has ended"


def test_it_ends_with_a_cli_that_is_killed(home, sts):
    """SIGKILL leaves the command running, and its lease ended all the same."""
    with daemon(home, sts) as served, start(served, "lease", "app") as running:
        assert running.stdout.readline() == "200\n"
        (told,) = served.status()["leases"]
        running.send_signal(signal.SIGKILL)
        eventually(lambda: served.status()["leases"] == [], within=5)
        assert records(served, told["id"])[-1]["because"] == "imds, which ran its command, has gone"
        running.stdin.close()


def test_a_command_is_told_of_the_end(home, sts):
    """A revoked lease's command runs on, and a line on standard error says why it gets nothing more."""
    with daemon(home, sts) as served, start(served, "lease", "app") as running:
        assert running.stdout.readline() == "200\n"
        (told,) = served.status()["leases"]
        served.imds("revoke", told["id"])
        lines = [running.stderr.readline() for _ in range(2)]
        assert f"imds: lease {told['id']} of role app, until " in lines[0]
        assert f"imds: lease {told['id']} has ended: revoked by " in lines[1]
        running.stdin.close()
        assert running.wait(30) == 0


def test_exec_without_a_daemon(home, sts):
    """A server that lives as long as the command gives it a session of its own, too."""
    apart = DaemonProcess(home, environment={"AWS_ENDPOINT_URL_STS": sts.url})
    config = write_config(home / "imds.yaml", ROLES)
    done = apart.imds(
        "exec", "--config", str(config), "--read-only", "viewer", "--", sys.executable, "-c", FETCH, check=False
    )
    assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr
    last = sts.calls[-1]
    assert "-lease-" in last["RoleSessionName"]
    assert last["PolicyArns.member.1.arn"] == "arn:aws:iam::aws:policy/ReadOnlyAccess"
    done = apart.imds("exec", "--config", str(config), "--read-only", "me", "--", "true", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be leased" in done.stderr


def test_a_mistaken_call(home, sts):
    """What to write instead is said on standard error, and nothing is leased."""
    with daemon(home, sts) as served:
        for arguments, status, said in (
            (["lease", "app", "--ttl", "13h"], 2, "between 1m and 12h"),
            (["lease", "app", "--tag", "x"], 2, "is not KEY=VALUE"),
            (["lease", "app", "--policy", "/nowhere"], 2, "/nowhere"),
            (["lease", "app", "--"], 2, "put -- and the command at the end: imds lease ROLE"),
            (["lease", "app", "--json", "--", "true"], 2, "do not go with a command"),
            (["lease", "app", "--", "no-such-command-x"], 127, "command not found"),
            (["exec", "--lease", "1s", "--", "true"], 2, "between 1m and 12h"),
            (["exec", "--no-scope", "--", "true"], 2, "goes with --lease or --read-only"),
        ):
            done = served.imds(*arguments, check=False)
            assert (done.returncode, done.stdout) == (status, ""), arguments
            assert said in done.stderr
        assert served.status()["leases"] == []


def test_a_shell_evaluates_it(home, sts):
    """What is printed lets a shell's clients in, and says on standard error what it is."""
    with daemon(home, sts) as served:
        script = f'eval "$({sys.executable} -m imds lease app --ttl 5m)"; {sys.executable} -c "$FETCH"'
        done = subprocess.run(
            ["bash", "-c", script],
            env=served.environment | {"FETCH": FETCH},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "200\n"
        assert "imds: lease " in done.stderr
        told = json.loads(served.imds("lease", "app", "--json").stdout)
        assert {"id", "url", "token", "ends", "session_name"} <= set(told)


def test_one_user_has_not_too_many(home, sts):
    """The bound is said, and one that is revoked makes room."""
    with daemon(home, sts) as served:
        first, *_ = (grant(served) for _ in range(MOST_OF_USER))
        status, answer = ask(served)
        assert (status, "revoke some" in answer["error"]) == (400, True), answer
        served.imds("revoke", first.id)
        assert ask(served)[0] == 201


def test_asking_again_and_again_is_slowed_down(home, sts):
    """Each lease costs AWS a session, so who asks without end is told to come back."""
    with daemon(home, sts) as served:
        for _ in range(AT_ONCE + 10):
            status, told = ask(served)
            if status != 201:
                break
            wire.control(served.control_socket, "DELETE", f"/v1/leases/{told['id']}")
        assert status == 503
        assert "too often" in told["error"]


def test_who_asks_for_what_is_not_theirs_is_on_record(home, sts):
    """A request that is refused without asking AWS has its line, with the reason that was given."""
    with daemon(home, sts) as served:
        done = served.imds("lease", "private", "--reason", "just looking", check=False)
        assert done.returncode == 1
        (line,) = [json.loads(text) for text in served.imds("audit", "--json").stdout.splitlines()]
        assert (line["decision"], line["role"], line["lease"]) == ("lease refused", "private", None)
        assert (line["reason"], line["instance"], line["uid"]) == ("just looking", "default", os.getuid())
        assert "role private is not one of yours" in line["because"]
        assert "  a lease of private denied to " in served.imds("audit").stdout


RELOADS = {
    "the instance does not allow it": ("default: {role: app,", "default: {role: stamped,"),
    "the role is another": ("role/app", "role/other"),
    "the role is gone": ("      app: {", "      gone: {"),
}


@pytest.mark.parametrize("name", RELOADS)
def test_a_reload_that_takes_the_role_away(home, sts, name):
    """What a lease rests on is decided anew; one that does not rest on it stays."""
    text = ROLES.replace("[stamped, chained, viewer, ci, okta, me, root]", "[stamped]")
    text = text.replace(
        '      chained: {role_arn: "arn:aws:iam::444455556666:role/chained", source: {role: app}}\n', ""
    )
    with daemon(home, sts, text) as served:
        lease, other = grant(served), grant(served, role="stamped")
        old, new = RELOADS[name]
        changed = text.replace(old, new)
        if name == "the role is gone":
            changed = changed.replace("role: app", "role: gone")
        if name == "the instance does not allow it":
            changed = changed.replace("[stamped]", "[viewer, stamped]")
        write_config(home / "imds.yaml", text + "# a comment changes nothing\n")
        served.imds("reload")
        assert lease.get(served).status == 200
        write_config(home / "imds.yaml", changed)
        served.imds("reload")
        assert lease.get(served).status == 401
        assert other.get(served).status == 200
        assert records(served, lease)[-1]["decision"] == "lease ended"


def test_with_the_daemon_every_lease_ends(home, sts):
    """A token of before a restart opens nothing, the record says that it ended, and its command is told."""
    with daemon(home, sts) as served:
        lease = grant(served)
        running = start(served, "lease", "app")
        assert running.stdout.readline() == "200\n"
    assert ": the daemon stops; nothing more is given" in running.communicate(timeout=30)[1]
    kept = Path(served.environment["XDG_STATE_HOME"]) / "imds" / "container-tokens.json"
    assert not kept.exists() or lease.id not in kept.read_text()
    with daemon(home, sts) as served:
        assert lease.get(served).status == 401
        assert served.status()["leases"] == []
        assert records(served, lease)[-1]["because"] == "the daemon stops"


CONTAINERS = """\
    region: eu-west-1
    listen: ["http://127.0.0.1:9254", "http://169.254.170.2:80"]
    roles: {app: {role_arn: "arn:aws:iam::111122223333:role/app", source: {profile: work}}}
    instances:
      shop: {role: null, roles: [app]}
    callers:
      - {match: {container: {label: {imds: shop}}}, instance: shop}
      - {match: {user: "@daemon"}, instance: default}
"""


@needs_root
def test_a_lease_for_a_container(home, sts_in, tmp_path):
    """The token works for the container that the rules give the instance, and for nobody else; then its URL alone."""
    engine_socket = tmp_path / "docker.sock"
    ecs, loopback = ("169.254.170.2", 80), ("127.0.0.1", 9254)
    with Neighbourhood() as there, StandInEngine(engine_socket) as engine, sts_in(there.host) as sts:
        engine.run(1, address=there.CONTAINER, imds="shop")
        config = write_config(home / "imds.yaml", CONTAINERS)
        environment = {"AWS_ENDPOINT_URL_STS": sts.url, "DOCKER_HOST": f"unix://{engine_socket}"}
        more = {"environment": environment, "prefix": there.host.prefix}
        with DaemonProcess(home, "serve", "--config", str(config), **more) as served:
            printed = served.imds("lease", "app", "--instance", "shop", "--shell", "dotenv").stdout.splitlines()
            given = dict(line.split("=", 1) for line in printed)
            assert given[URL].startswith("http://169.254.170.2:80/v2/credentials/")
            path = urlsplit(given[URL]).path
            raw = wire.request("GET", path, {"Authorization": given[TOKEN], "Connection": "close"})
            bare = wire.request("GET", path, {"Connection": "close"})
            assert there.container.call(wire.exchange, ecs, raw).status == 200
            assert there.container.call(wire.exchange, ecs, bare).status == 401
            assert there.lan.call(_exchange_or_nothing, ecs, raw) in (0, 403)
            assert there.host.call(wire.exchange, loopback, raw).status == 403, "instance default"
            (told,) = served.status()["leases"]
            assert told["anybody_of_instance"] is True
            assert "whoever sees instance shop, by " in served.imds("leases").stdout
            write_config(home / "imds.yaml", CONTAINERS + "    container_credentials: {require_token: false}\n")
            served.imds("reload")
            assert there.container.call(wire.exchange, ecs, bare).status == 200
            wrong = wire.request("GET", path, {"Authorization": "wrong", "Connection": "close"})
            assert there.container.call(wire.exchange, ecs, wrong).status == 401
            guessed = wire.request("GET", f"{path[:-1]}x", {"Connection": "close"})
            assert there.container.call(wire.exchange, ecs, guessed).status == 401
            assert there.host.call(wire.exchange, loopback, bare).status == 403
            own = urlsplit(json.loads(served.imds("lease", "app", "--json").stdout)["url"]).path
            mine = wire.request("GET", own, {"Connection": "close"})
            assert there.host.call(wire.exchange, loopback, mine).status == 401, "a user's own always needs its token"
            served.imds("revoke", told["id"])
            assert there.container.call(wire.exchange, ecs, bare).status == 401


def _exchange_or_nothing(address: tuple[str, int], raw: bytes) -> int:
    try:
        return wire.exchange(address, raw, timeout=2).status
    except OSError:
        return 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as other users")
def test_another_user_or_instance_gets_nothing(home, sts):
    """The token is worth nothing to who is not meant, although the role is theirs too."""
    rules = """\
    callers:
      - {match: {user: "65534"}, instance: default}
      - {match: {user: "@daemon", command: "curl*"}, instance: other}
      - {match: {user: "@daemon"}, instance: default}
"""
    with daemon(home, sts, ROLES + rules) as served:
        lease = grant(served)
        assert lease.get(served).status == 200
        url, token = str(lease.told["url"]), str(lease.told["token"])
        address = served.address
        raw = wire.request("GET", urlsplit(url).path, {"Authorization": token, "Connection": "close"})
        with acting_as(65534):
            assert wire.exchange(address, raw).status == 403
        curl = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: {token}", url]
        assert subprocess.run(curl, capture_output=True, text=True, check=True).stdout == "403"
        refused = [json.loads(line) for line in served.imds("audit", "--json").stdout.splitlines()]
        assert {line["because"] for line in refused if line["decision"] == "refused"} == {
            "the container token belongs to uid 0",
            "the container token belongs to instance default, not other",
        }
