"""A thousand roles over ten sources: one call a role and period, within the budget, and a throttle survived."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections import Counter
from pathlib import Path
from time import monotonic

import pytest
from support import sts as stand_in
from support import wire
from support.daemon import DaemonProcess, write_config, write_profile
from support.emulators import Emulator, free_port
from support.machine import eventually

from imds.aws.budget import BURST, CALLS_PER_SECOND

MANY, SOURCES = 1000, 10


def daemon(home: Path, url: str, roles: int, sources: int) -> DaemonProcess:
    """Return a daemon with many roles that share a few profiles."""
    for number in range(sources):
        write_profile(home, f"p{number}", aws_access_key_id=f"AKIAP{number}", aws_secret_access_key="abcd")
    lines = [
        f"  r{number}: {{role_arn: 'arn:aws:iam::111122223333:role/r{number}', "
        f"source: {{profile: p{number % sources}}}}}"
        for number in range(roles)
    ]
    text = "region: eu-west-1\nlisten: ['http://127.0.0.1:0']\nroles:\n" + "\n".join(lines) + "\n"
    config = write_config(home / "imds.yaml", text)
    return DaemonProcess(home, "serve", "--config", str(config), environment={"AWS_ENDPOINT_URL_STS": url})


def states(served: DaemonProcess) -> Counter[str]:
    """Return how many roles are in which state."""
    return Counter(role["state"] for role in served.status()["roles"])


def test_a_thousand_roles_are_each_assumed_once(home, sts):
    """Every role is asked for exactly once, no faster than the budget, which status shows; clients are answered."""
    arrived: list[float] = []

    def note(call: stand_in.Call) -> stand_in.Answer:
        arrived.append(monotonic())
        return sts.session(call)

    sts.behaviour = note
    with daemon(home, sts.url, MANY, SOURCES) as served:
        waits = []
        while states(served) != {"ok": MANY}:
            asked = monotonic()
            assert wire.get(served.address, "/latest/meta-data/iam/security-credentials/r0").status == 200
            waits.append(monotonic() - asked)
        budget = served.status()["session_budget"]
    assert Counter(call["RoleArn"].rpartition("/")[2] for call in sts.calls) == Counter(
        f"r{number}" for number in range(MANY)
    )
    assert budget == {"asked": MANY, "most_per_second": CALLS_PER_SECOND}
    assert len({call["AccessKeyId"] for call in sts.calls}) == SOURCES
    # the budget itself has a unit test; here only that calls pass through it
    assert arrived[-1] - arrived[0] > (MANY - BURST) / CALLS_PER_SECOND * 0.9
    assert len(waits) > 3, "clients were answered meanwhile"


@pytest.fixture
def throttled(moto_server):
    """Microburst in front of moto: genuine AWS errors at will; yields the emulator and what sets its rules."""
    port = free_port()
    program = str(Path(sys.executable).with_name("microburst"))
    proxy = Emulator([program, "-u", moto_server.url, "-p", str(port)], port)

    def rules(*wanted: dict[str, object]) -> None:
        body = json.dumps(list(wanted)).encode()
        request = urllib.request.Request(
            f"{proxy.url}/_microburst/rules", data=body, method="POST", headers={"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10).close()

    with proxy:
        yield proxy, rules


@pytest.mark.parametrize("code", ["Throttling", "RequestLimitExceeded", "ServiceUnavailable"])
def test_roles_outlive_a_throttle(home, throttled, code):
    """AWS's own throttling errors delay the roles, no more; when it is over all have their session by themselves."""
    proxy, rules = throttled
    rules({"service": "sts", "probability": 1.0, "error": {"code": code}})
    with daemon(home, proxy.url, 5, 1) as served:
        told = [role["failure"] for role in served.status()["roles"]]
        assert {(failure["code"], failure["action"]) for failure in told} == {(code, "retry")}
        rules()
        eventually(lambda: states(served) == {"ok": 5}, within=60)
