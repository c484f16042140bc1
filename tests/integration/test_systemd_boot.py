"""The units under a real service manager: a copy-on-write view of this machine's root, booted in a namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.fakes import KNOWN_SECRETS
from support.namespaces import Namespace, needs_root, run
from support.sts import StandInSts

PROJECT = Path(__file__).parents[2]
BOOT = PROJECT / "tests" / "support" / "boot.sh"
SCRIPT = PROJECT / "tests" / "support" / "service.sh"
PROGRAMS = ("systemd-nspawn", "nft", "curl", "nsenter")
CANNOT, NO_PROGRAM = 77, 78

pytestmark = [
    needs_root,
    pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason=f"needs {', '.join(PROGRAMS)}"),
]

PREPARE = """\
set -e
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_QUIET=2
/usr/bin/python3 -m venv /opt/imds
/opt/imds/bin/pip wheel --no-deps --wheel-dir /root/wheel /opt/given/project
/opt/imds/bin/pip install /root/wheel/*.whl
rm -r /opt/given/project /root/wheel
useradd --create-home dev && useradd --create-home other
for user in dev other; do
    install -d -m700 -o $user -g $user /home/$user/.aws
    sed "s/KEY/AKIA$user/" /opt/given/credentials >/home/$user/.aws/credentials
    chown $user: /home/$user/.aws/credentials
done
install -Dm600 /opt/given/credentials /etc/imds/credentials
install -m644 /opt/given/config.yaml /etc/imds/config.yaml
for unit in imds imds@; do
    install -Dm644 /opt/given/$unit.conf /etc/systemd/system/$unit.service.d/test.conf
done
"""

CREDENTIALS = "[default]\naws_access_key_id = KEY\naws_secret_access_key = neverlogthissecretaccesskey\n"

CONFIG = """\
region: eu-west-1
roles:
  app: {role_arn: "arn:aws:iam::111122223333:role/app", source: {profile: default}}
callers:
  - {match: {user: dev}, instance: default}
"""

DROP_IN = "[Service]\nEnvironment=AWS_ENDPOINT_URL_STS=%s AWS_REGION=eu-west-1 AWS_EC2_METADATA_DISABLED=true\n"
MACHINE = """\
LoadCredential=aws:/etc/imds/credentials
Environment=AWS_SHARED_CREDENTIALS_FILE=%d/aws AWS_CONFIG_FILE=/dev/null
WatchdogSec=3
TimeoutAbortSec=1
"""

@pytest.fixture(scope="module")
def booted(tmp_path_factory):
    """What the script said, by name; and the log of our units."""
    given = tmp_path_factory.mktemp("given")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "imds", given / "project" / "imds", ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, given / "project")
    (given / "credentials").write_text(CREDENTIALS)
    (given / "config.yaml").write_text(CONFIG)
    shutil.copy(SCRIPT, given / "script")
    with Namespace("boot") as namespace, StandInSts(namespace=namespace) as sts:
        for address in ("169.254.169.254/32", "fd00:ec2::254/128"):  # the units are to bring them
            run("ip", "-n", namespace.name, "address", "del", address, "dev", "lo")
        drop_in = DROP_IN % sts.url
        (given / "imds.conf").write_text(drop_in + MACHINE)
        (given / "imds@.conf").write_text(drop_in)
        (given / "sts").write_text(f"AWS_ENDPOINT_URL_STS={sts.url}")
        done = subprocess.run(
            [BOOT, namespace.name, given, "/bin/bash", "/opt/given/script"],
            env={**os.environ, "PREPARE": PREPARE},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        keys = [call.get("AccessKeyId") for call in sts.calls]
    if done.returncode == CANNOT:
        pytest.skip(f"this machine cannot boot a container: {done.stderr[-300:]}")
    if done.returncode == NO_PROGRAM:
        pytest.skip(f"the system's own Python cannot install the program: {done.stderr[-300:]}")
    lines = done.stdout.splitlines()
    said = dict(line.split("=", 1) for line in lines if not line.startswith("log: ") and "=" in line)
    log = "\n".join(line for line in lines if line.startswith("log: "))
    return said | {"log": log, "keys": keys, "errors": done.stderr}


def test_the_first_client_starts_the_service_of_the_machine(booted):
    """The socket brings addresses and guard; the first connection starts the daemon, under a user of its own."""
    assert booted["before"] == "inactive"
    assert (booted["addresses"], booted["guard"]) == ("2", "2")
    assert (booted["first"], booted["v6"]) == ("200", "200")
    assert booted["user"] == "imds"
    assert booted["status"] == "serving 1 of 1 roles"
    assert booted["reloaded"] == "active success"


def test_callers_decide_who_is_answered(booted):
    """Whom the configuration names has the role; other users, root too, get nothing."""
    assert booted["role"] == "app"
    assert (booted["stranger"], booted["root"]) == ("403", "403")


def test_the_control_socket_is_where_commands_look(booted):
    """``imds status`` of root finds the daemon in /run/imds; no other user may connect."""
    assert (booted["control"], booted["asked"]) == ("600", '"app"')


def test_restarts_fail_no_request(booted):
    """Clients that keep asking across three restarts are all answered."""
    assert booted["restarts"].split() == ["200"]
    assert booted["some"] == "yes"


def test_stopping_leaves_nothing(booted):
    """Addresses, guard, sockets and the runtime directory go, whatever became of the guard; no unit has failed."""
    assert booted["stopped"] == "inactive inactive"
    assert booted["left"].split() == ["0"]
    assert booted["listening"] == "0"
    assert booted["own_left"].split() == ["0"]
    assert "guard_left" not in booted
    assert booted["failed"] == ""


def test_the_service_of_one_user_sees_that_user_only(booted):
    """It signs with its user's keys, answers that user without ``callers``, and sees one ~/.aws, read-only."""
    assert (booted["own"], booted["own_stranger"]) == ("200", "403")
    assert booted["own_status"] == "serving 1 of 1 roles"
    assert booted["own_role"] == "default"
    assert booted["homes"].split() == ["dev"]
    assert booted["inside"].split() == [".aws"]
    assert booted["writable"] == ""
    assert booted["own_control"] != "0"
    assert set(booted["keys"]) == {"KEY", "AKIAdev"}


def test_a_killed_service_is_replaced(booted):
    """After SIGKILL the next client is answered by a new process."""
    assert booted["own_again"] == "200"


def test_the_log_is_fit_to_be_read(booted):
    """No traceback, no secret."""
    assert "serves 1 role" in booted["log"]
    assert "Traceback" not in booted["log"]
    assert not any(secret in booted["log"] for secret in KNOWN_SECRETS)
