"""A machine whose clock is wrong: measured, told apart from a wrong secret, and expiry judged by AWS's clock."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta

import pytest
from support import sts as stand_in
from support import wire
from support.daemon import DaemonProcess, write_config
from support.machine import Client, eventually

EXPIRED = "Signature expired: 20300101T120000Z is now earlier than 20300101T130000Z (20300101T131500Z - 15 min.)"
HOUR = timedelta(hours=1)


def daemon(home, sts, source="{profile: work}") -> DaemonProcess:
    """Return a daemon with one role."""
    config = write_config(
        home / "imds.yaml",
        "region: eu-west-1\nlisten: ['http://127.0.0.1:0']\n"
        f"roles: {{app: {{role_arn: 'arn:aws:iam::111122223333:role/app', source: {source}}}}}\n",
    )
    return DaemonProcess(home, "serve", "--config", str(config), environment={"AWS_ENDPOINT_URL_STS": sts.url})


@pytest.mark.parametrize("ahead", [timedelta(minutes=10), -timedelta(minutes=10), 2 * HOUR, -2 * HOUR])
def test_skew_is_measured_and_expiry_is_judged_by_aws(home, sts, ahead):
    """Whichever clock is ahead, a session lives as long as AWS says, and the difference is reported."""
    sts.ahead = ahead
    with daemon(home, sts) as served:
        status = served.status()
        (role,) = status["roles"]
        assert abs(status["clock_skew_seconds"] - ahead.total_seconds()) <= 2
        assert role["state"] == "ok", role
        assert 3590 <= role["remaining_seconds"] <= 3600
        refresh = datetime.fromisoformat(role["next_attempt"]) - datetime.fromisoformat(status["started"])
        assert timedelta(minutes=20) < refresh < timedelta(minutes=31), "by our own clock"
        assert ("behind" if ahead > timedelta() else "ahead of") in served.imds("status").stdout
        assert json.loads(Client(served).document().body)["Expiration"] == role["expiration"]


def test_a_clock_that_is_right_is_not_mentioned(home, sts):
    """Seconds are the way of answers, not skew."""
    with daemon(home, sts) as served:
        assert abs(served.status()["clock_skew_seconds"]) <= 2
        assert "clock" not in served.imds("status").stdout


def test_a_wrong_clock_is_told_apart_from_a_wrong_secret(home, sts):
    """AWS refuses both as SignatureDoesNotMatch; a clock mends itself (503), a secret does not (404)."""
    sts.ahead = HOUR
    sts.behaviour = stand_in.error("SignatureDoesNotMatch", EXPIRED, status=403)
    with daemon(home, sts) as served:
        (role,) = served.status()["roles"]
        assert role["failure"]["action"] == "clock"
        assert wire.get(served.address, "/latest/meta-data/iam/security-credentials/").status == 503
        (said,) = [line for line in served.imds("status").stdout.splitlines() if "clock" in line]
        assert re.search(r"(1:00:00|0:59:59) behind AWS's", said)
    sts.behaviour = stand_in.error("SignatureDoesNotMatch", "The request signature we calculated", status=403)
    with daemon(home, sts) as served:
        assert served.status()["roles"][0]["failure"]["action"] == "config"


def test_a_clock_set_right(home, sts, clocks):
    """After the clock is set right the difference is gone at once, and a new session follows within moments."""
    sts.ahead = HOUR
    served = daemon(home, sts)
    served.environment |= clocks.environment
    with served:
        assert served.status()["clock_skew_seconds"] >= 3598
        clocks.step(HOUR)
        assert abs(served.status()["clock_skew_seconds"]) <= 2
        eventually(lambda: wire.get(served.address, "/latest/meta-data/iam/security-credentials/").status == 200)
        assert served.status()["roles"][0]["remaining_seconds"] > 3500
