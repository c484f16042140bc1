"""A command in the scope of its lease, which the kernel tells apart: a real control group, no service manager."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.daemon import DaemonProcess, write_config
from support.leases import grant

from imds.core.leases import SCOPE, new_id
from imds.host.cgroups import mount_point
from imds.host.scopes import scope_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

LIST = "latest/meta-data/iam/security-credentials/"
CONFIG = """\
    region: eu-west-1
    listen: ["http://127.0.0.1:0"]
    roles:
      app: {role_arn: "arn:aws:iam::111122223333:role/app", source: {profile: work}}
      other: {role_arn: "arn:aws:iam::111122223333:role/other", source: {profile: work}}
    instances:
      nothing: {role: null}
    callers:
      - {match: {lease: "ap?"}, instance: nothing}
      - {match: {user: "@daemon"}, instance: default}
"""


@contextmanager
def scope(lease_id: str) -> Iterator[Path]:
    """Make the control group that systemd would make."""
    root = mount_point()
    group = Path(root or "/nowhere") / SCOPE.format(id=lease_id)
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"needs a control group (v2) of its own: {error}")
    try:
        yield group
    finally:
        group.rmdir()


def run_in(group: Path | None, script: str, **environment: str) -> str:
    """Return what a shell in a control group prints."""
    enter = f"echo $$ >{group}/cgroup.procs || exit 9; " if group is not None else ""
    done = subprocess.run(
        ["/bin/sh", "-c", enter + script],
        env={"PATH": os.environ["PATH"]} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.strip() or done.stderr


ASK = (
    "token=$(curl -s -w '%{http_code}' -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' ${URL}latest/api/token); "
    'case $token in *200) ;; *) echo "$token"; exit ;; esac; '
    f'curl -s -o /dev/null -w "%{{http_code}}" -H "X-aws-ec2-metadata-token: ${{token%200}}" ${{URL}}{LIST}'
)
FETCH = 'curl -s -o /dev/null -w "%{http_code}" -H "Authorization: $TOKEN" $LEASE'


def test_a_scope_has_its_lease_and_nothing_else(home, sts):
    """Inside the metadata service has no role and the lease works; outside all is as ever; its end widens nothing."""
    config = write_config(home / "imds.yaml", CONFIG)
    environment = {"AWS_ENDPOINT_URL_STS": sts.url}
    with DaemonProcess(home, "serve", "--config", str(config), environment=environment) as served:
        lease, other = grant(served), grant(served, role="other")
        way = {"URL": served.url, "LEASE": str(lease.told["url"]), "TOKEN": str(lease.told["token"])}
        assert lease.told["ruled"] is True
        with scope(lease.id) as inside, scope(other.id) as unmatched, scope(new_id()) as unknown:
            assert run_in(inside, ASK, **way) == "404", "instance nothing"
            assert run_in(inside, FETCH, **way) == "200"
            assert run_in(None, ASK, **way) == "200"
            assert run_in(None, FETCH, **way) == "200"
            assert run_in(unmatched, ASK, **way) == "200", "a lease of a role that no rule means"
            assert run_in(unknown, ASK, **way) == "403", "what it was for is not known"
            explained = explain(served, inside)
            assert (explained["caller"]["lease"], explained["instance"]) == ("app", "nothing")
            assert run_in(
                inside, FETCH, **way | {"LEASE": str(other.told["url"]), "TOKEN": str(other.told["token"])}
            ) == ("403"), "another lease's token, in an instance that is not its own"
            served.imds("revoke", lease.id)
            assert run_in(inside, ASK, **way) == "403"
            assert run_in(inside, FETCH, **way) == "403"
            explained = explain(served, inside)
            assert (explained["caller"]["lease"], explained["instance"]) == (None, None)
            assert [rule["matches"] for rule in explained["rules"]] == [None, True]


def explain(served: DaemonProcess, group: Path) -> dict:
    """Return what ``imds explain`` says of a process in a control group."""
    with subprocess.Popen(
        ["/bin/sh", "-c", f"echo $$ >{group}/cgroup.procs; echo in; read _"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "in\n"
        try:
            return json.loads(served.imds("explain", "--json", "--pid", str(process.pid)).stdout)
        finally:
            process.stdin.close()


def test_a_kept_connection_is_decided_anew(home, sts):
    """Who was in a live lease's scope when it connected is refused once the lease has ended."""
    config = write_config(home / "imds.yaml", CONFIG)
    environment = {"AWS_ENDPOINT_URL_STS": sts.url}
    with DaemonProcess(home, "serve", "--config", str(config), environment=environment) as served:
        lease = grant(served)
        host, port = served.address
        path = str(lease.told["url"]).partition(str(port))[2]
        program = (
            "import http.client, sys\n"
            f"connection = http.client.HTTPConnection('{host}', {port})\n"
            "while sys.stdin.readline():\n"
            f"    connection.request('GET', '{path}', headers={{'Authorization': sys.argv[1]}})\n"
            "    answer = connection.getresponse(); answer.read(); print(answer.status, flush=True)\n"
        )
        with scope(lease.id) as inside:
            script = f'echo $$ >{inside}/cgroup.procs; exec python3 -c "$PROGRAM" "$TOKEN"'
            with subprocess.Popen(
                ["/bin/sh", "-c", script],
                env={"PATH": os.environ["PATH"], "PROGRAM": program, "TOKEN": str(lease.told["token"])},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as client:
                for expected in ("200\n", "200\n"):
                    client.stdin.write("\n")
                    client.stdin.flush()
                    assert client.stdout.readline() == expected
                served.imds("revoke", lease.id)
                client.stdin.write("\n")
                client.stdin.flush()
                assert client.stdout.readline() == "403\n"
                client.stdin.close()


def test_where_there_is_no_service_manager(home, sts, monkeypatch, tmp_path):
    """The command runs in no scope; that a rule will not see it is said, and so is where no scope was wanted."""
    monkeypatch.setattr("imds.host.scopes.SYSTEM", tmp_path / "nowhere")
    assert scope_prefix("x.scope", uid=0, environment={}) is None
    config = write_config(home / "imds.yaml", CONFIG)
    environment = {"AWS_ENDPOINT_URL_STS": sts.url}
    with DaemonProcess(home, "serve", "--config", str(config), environment=environment) as served:
        done = served.imds("lease", "app", "--no-scope", "--", "sh", "-c", "cat /proc/self/cgroup; exit 3", check=False)
        assert done.returncode == 3
        assert "imds-lease" not in done.stdout
        assert "is in no scope (--no-scope was given): no rule with lease sees it" in done.stderr


def test_a_users_manager_is_asked_where_it_is(monkeypatch, tmp_path):
    """Root has the system's manager, everybody else their own, if it runs; a dollar sign stays one."""
    fake = tmp_path / "systemd-run"
    fake.write_text("#!/bin/sh\necho 'systemd 255 (255.4)'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("imds.host.scopes.SYSTEM", tmp_path)
    as_root = scope_prefix("x.scope", uid=0, environment={})
    assert as_root == [
        *(str(fake), "--scope", "--quiet", "--collect", "--expand-environment=no", "--unit=x.scope", "--"),
    ]
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert scope_prefix("x.scope", uid=1000, environment=runtime) is None
    (tmp_path / "systemd").mkdir()
    (tmp_path / "systemd" / "private").touch()
    assert scope_prefix("x.scope", uid=1000, environment=runtime)[1] == "--user"
    fake.write_text("#!/bin/sh\necho 'systemd 252 (252.39)'\n")
    assert "--expand-environment=no" not in scope_prefix("x.scope", uid=0, environment={})
