"""Readiness and metrics of a daemon to which something happens: sleep, a stepped clock, AWS that says no, the end."""

from __future__ import annotations

import signal
import socket
from datetime import timedelta

import pytest
from support import sts as stand_in
from support import wire
from support.daemon import DaemonProcess, write_config
from support.machine import Client, eventually
from support.metrics import Admin

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
CONFIG = """\
    region: eu-west-1
    listen: ["http://127.0.0.1:0"]
    admin_listen: http://127.0.0.1:0
    roles:
      app: {role_arn: "arn:aws:iam::111122223333:role/app", source: {profile: work}}
      two: {role_arn: "arn:aws:iam::111122223333:role/two", source: {profile: work}}
"""


@pytest.fixture
def serve(home, sts, clocks):
    """Return a daemon with two roles that is not started yet, on a machine that can be suspended."""

    def make(*, ready: bool = True) -> DaemonProcess:
        config = write_config(home / "imds.yaml", CONFIG)
        variables = {"AWS_ENDPOINT_URL_STS": sts.url} | clocks.environment
        return DaemonProcess(home, "serve", "--config", str(config), environment=variables, ready=ready)

    return make


def hang(sts) -> None:
    """Let STS answer late, so that what holds meanwhile can be seen."""
    sts.behaviour = sts.slow(20)


@pytest.mark.parametrize(("asleep", "reason"), [(9 * HOUR, "expired"), (35 * MINUTE, "overdue")])
def test_not_ready_after_a_wake_until_fresh(serve, sts, clocks, asleep, reason):
    """From the first look after the wake no role is ready, whether its session ended or not, until it is renewed."""
    with serve() as daemon:
        admin, client = Admin(daemon), Client(daemon)
        status, told = admin.ready()
        assert (status, told["ready"]) == (200, True)
        before = client.document()
        hang(sts)
        clocks.suspend(asleep)
        sts.ahead = clocks.ahead
        status, told = admin.ready()
        assert (status, told["ready"]) == (503, False)
        assert {role["reason"] for role in told["roles"].values()} == {reason}
        assert admin.get("/healthz").status == 200
        assert admin.value("imds_ready") == 0
        assert admin.value("imds_role_ready", role="app") == 0
        remaining = admin.value("imds_role_session_remaining_seconds", role="app")
        assert remaining == 0 if reason == "expired" else 20 * 60 < remaining < 26 * 60
        assert admin.value("imds_role_next_refresh_seconds", role="app") < 0
        eventually(lambda: sts.under_way == 2)  # the look itself started the refreshes
        sts.behaviour = None
        sts.release()
        eventually(lambda: admin.ready()[0] == 200)
        client.new_token()
        after = client.document()
        assert (after.status, after.body != before.body) == (200, True)
        assert admin.value("imds_role_session_remaining_seconds", role="app") > 55 * 60
        assert admin.value("imds_role_refreshes_total", role="app", outcome="success", code="") == 2


def test_a_short_sleep_changes_nothing(serve, sts, clocks):
    """Where the session lives and its refresh is not due, there is nothing to wait for."""
    with serve() as daemon:
        admin = Admin(daemon)
        clocks.suspend(10 * MINUTE)
        sts.ahead = clocks.ahead
        assert admin.ready()[0] == 200
        assert len(sts.calls) == 2


def test_one_role_that_fails(serve, sts, clocks):
    """The other is ready, the whole is not; failures are counted by what they call for and AWS's code."""
    with serve() as daemon:
        admin = Admin(daemon)
        refuse = stand_in.error("AccessDenied", "User: arn:aws:iam::111122223333:user/me is not authorized", status=403)
        sts.behaviour = lambda call: refuse(call) if call["RoleArn"].endswith("/two") else sts.session(call)
        clocks.suspend(35 * MINUTE)
        sts.ahead = clocks.ahead
        eventually(lambda: admin.ready("app")[0] == 200)
        eventually(lambda: admin.value("imds_role_consecutive_failures", role="two"))
        status, two = admin.ready("two")
        assert (status, two["reason"], two["action"], two["code"]) == (503, "overdue", "denied", "AccessDenied")
        assert two["remaining_seconds"] > 0
        assert admin.ready()[0] == 503
        clocks.suspend(30 * MINUTE)
        sts.ahead = clocks.ahead
        assert admin.ready("two")[1]["reason"] == "unavailable"
        text = admin.text()
        assert 'imds_role_refreshes_total{code="AccessDenied",outcome="denied",role="two"}' in text
        assert 'imds_aws_calls_total{operation="AssumeRole",service="sts",status="403"}' in text
        assert "not authorized" not in text + str(admin.ready())
        sts.behaviour = None
        daemon.imds("refresh")
        assert admin.ready()[0] == 200


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forward", "back"])
def test_a_stepped_clock(serve, sts, clocks, step):
    """After the clock was set, readiness comes back with a new session, judged by the new time."""
    with serve() as daemon:
        admin = Admin(daemon)
        clocks.step(step)
        sts.ahead = clocks.ahead
        eventually(lambda: admin.value("imds_role_refreshes_total", role="app", outcome="success", code="") == 2)
        eventually(lambda: admin.ready()[0] == 200)
        assert abs(admin.value("imds_clock_skew_seconds")) <= 2
        expiry = admin.value("imds_role_session_expiry_timestamp_seconds", role="app")
        assert 55 * 60 < expiry - clocks.now().timestamp() <= 3600


def test_before_the_first_session(serve, sts):
    """While STS says nothing the daemon lives and is not ready, and says that it is starting."""
    hang(sts)
    with serve(ready=False) as daemon:
        eventually(lambda: sts.under_way)
        admin = Admin(daemon)
        assert admin.get("/healthz").status == 200
        status, told = admin.ready()
        assert (status, told["reason"]) == (503, "starting")
        assert {role["reason"] for role in told["roles"].values()} == {"starting"}


def test_while_it_stops(serve):
    """Whoever balances between daemons learns that this one stops before it is gone."""
    with serve() as daemon:
        admin, address = Admin(daemon), daemon.address
        with socket.create_connection(address, timeout=10):  # has not asked yet, and is waited for
            daemon.signal(signal.SIGTERM)
            daemon.wait_for("STOPPING=1")
            status, told = admin.ready()
            assert (status, told["reason"]) == (503, "stopping")
        assert daemon.process.wait(10) == 0


def test_lines_that_cannot_be_written(serve, home):
    """A line of the audit log that cannot be written is counted as lost."""
    with serve() as daemon:
        admin, address = Admin(daemon), daemon.address
        path = home / "state" / "imds" / "audit.jsonl"
        assert path.exists()
        path.unlink()
        path.mkdir()  # nothing can be written there any more
        wire.get(address, "/latest/meta-data/iam/security-credentials/app")
        eventually(lambda: admin.value("imds_audit_lines_total", outcome="write_failed") == 1)
        path.rmdir()
        wire.get(address, "/latest/meta-data/iam/security-credentials/app")
        eventually(lambda: admin.value("imds_audit_lines_total", outcome="written") == 1)
        assert admin.get("/healthz").status == 200
