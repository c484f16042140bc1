"""The units under a real service manager: a copy-on-write view of this machine's root, booted in a namespace."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.fakes import KNOWN_SECRETS
from support.namespaces import Namespace, needs_root, run
from support.sts import StandInSts

PROJECT = Path(__file__).parents[2]
BOOT = PROJECT / "tests" / "support" / "boot.sh"
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
/opt/imds/bin/pip install /opt/given/project
cd /opt/given/project/systemd
install -Dm644 guard.nft /etc/imds/guard.nft
install -m644 imds* /etc/systemd/system/
useradd --create-home dev && useradd --create-home other
for user in dev other; do
    install -d -m700 -o $user -g $user /home/$user/.aws
    sed "s/KEY/AKIA$user/" /opt/given/credentials >/home/$user/.aws/credentials
    chown $user: /home/$user/.aws/credentials
done
install -m600 /opt/given/credentials /etc/imds/credentials
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

USER_CONFIG = """\
region: eu-west-1
roles:
  app: {role_arn: "arn:aws:iam::111122223333:role/app", source: {profile: default}}
instances:
  nothing: {role: null}
callers:
  - {match: {lease: app}, instance: nothing}
  - {match: {user: dev}, instance: default}
"""

DROP_IN = "[Service]\nEnvironment=AWS_ENDPOINT_URL_STS=%s AWS_REGION=eu-west-1 AWS_EC2_METADATA_DISABLED=true\n"
MACHINE = """\
LoadCredential=aws:/etc/imds/credentials
Environment=AWS_SHARED_CREDENTIALS_FILE=%d/aws AWS_CONFIG_FILE=/dev/null
"""

SCRIPT = r"""
base=http://169.254.169.254/latest
as() { runuser -u "$1" -- "${@:2}"; }
ask() { as "$1" curl --silent --max-time 20 --output /dev/null --write-out '%{http_code}' "${@:2}"; }
token() { ask "$1" -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $base/api/token; }
role() {
    given=$(as "$1" curl -s --max-time 20 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $base/api/token)
    as "$1" curl -s --max-time 20 -H "X-aws-ec2-metadata-token: $given" $base/meta-data/iam/security-credentials/
}
say() { echo "$1=$2"; }
state() { systemctl show --property="$2" --value "$1"; }

systemctl start imds.socket
say before "$(state imds.service ActiveState)"
say addresses "$(ip -o address show dev lo | grep -cE '169\.254\.169\.254|fd00:ec2::254')"
say guard "$(nft list table inet imds | grep -c drop)"
say first "$(token dev)"
say after "$(state imds.service ActiveState)"
systemctl start imds.service    # waits until it is ready
say status "$(state imds.service StatusText)"
say user "$(state imds.service User)"
say role "$(role dev)"
say stranger "$(token other)"
say root "$(token root)"
say v6 "$(ask dev -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' 'http://[fd00:ec2::254]/latest/api/token')"
say control "$(stat -L -c %a /run/imds/control.sock)"
say asked "$(/opt/imds/bin/imds status --json | grep -o '"app"' | head -1)"

(while [ ! -e /run/enough ]; do token dev; echo; done >/run/codes) &
for _ in 1 2 3; do systemctl restart imds.service; done
touch /run/enough; wait $!
say restarts "$(sort -u /run/codes | tr '\n' ' ')"
say some "$([ "$(wc -l </run/codes)" -gt 10 ] && echo yes)"

systemctl reload imds.service
say reloaded "$(state imds.service ActiveState) $(state imds.service Result)"

nft delete table inet imds    # whoever flushes the rules
systemctl stop imds.socket imds.service && systemctl stop imds-address.service
say stopped "$(state imds.service ActiveState) $(state imds-address.service ActiveState)"
say left "$(ip -o address show dev lo | grep -cE '169\.254\.169\.254|fd00:ec2::254') $(ls -d /run/imds 2>/dev/null)"
say listening "$(ss -Hlnt | grep -cE ':(80|9254) ')"

rm /etc/imds/config.yaml    # the user's instance needs none
mkdir -p /etc/systemd/system/imds.socket.d
printf '[Socket]\nService=imds@dev.service\n' >/etc/systemd/system/imds.socket.d/user.conf
systemctl daemon-reload
systemctl start imds.socket
say own "$(token dev)"
systemctl start imds@dev.service
say own_status "$(state imds@dev.service StatusText)"
say own_role "$(role dev)"
say own_stranger "$(token other)"
pid=$(state imds@dev.service MainPID)
say homes "$(nsenter --target "$pid" --mount ls /home | tr '\n' ' ')"
say inside "$(nsenter --target "$pid" --mount ls -A /home/dev | tr '\n' ' ')"
say writable "$(nsenter --target "$pid" --mount runuser -u dev -- touch /home/dev/.aws/x 2>/dev/null && echo yes)"
say own_control "$(as dev /opt/imds/bin/imds status --socket /run/imds-dev/control.sock --json | grep -c default)"
kill -9 "$pid"
say own_again "$(token dev)"

install -d -o dev -g dev /home/dev/.config /home/dev/.config/imds
install -m600 -o dev -g dev /opt/given/user.yaml /home/dev/.config/imds/config.yaml
systemctl restart imds@dev.service
systemctl start "user@$(id -u dev).service"
lease() {
    as dev env XDG_RUNTIME_DIR="/run/user/$(id -u dev)" /opt/imds/bin/imds lease app \
        --socket /run/imds-dev/control.sock -- "$@"
}
export CODE='curl -s -o /dev/null -w %{http_code} -H' BASE=$base
say scope "$(lease grep ^0:: /proc/self/cgroup 2>/dev/null)"
lease sh -c 'exit 7' 2>/dev/null
say scope_status $?
say scope_lease "$(lease sh -c '
    $CODE "Authorization: $AWS_CONTAINER_AUTHORIZATION_TOKEN" "$AWS_CONTAINER_CREDENTIALS_FULL_URI"' 2>/dev/null)"
say scope_role "$(lease sh -c '
    token=$(curl -s -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" $BASE/api/token)
    $CODE "X-aws-ec2-metadata-token: $token" $BASE/meta-data/iam/security-credentials/' 2>/dev/null)"
say scope_outside "$(role dev)"
systemctl stop "user@$(id -u dev).service"
systemctl stop imds.socket imds@dev.service && systemctl stop imds-address.service
say own_left "$(ip -o address show dev lo | grep -c 169.254.169.254) $(ls -d /run/imds* 2>/dev/null | grep -v view)"
nft list table inet imds >/dev/null 2>&1 && say guard_left yes
say failed "$(systemctl --failed --no-legend --plain | grep -o 'imds[^ ]*' | tr '\n' ' ')"
journalctl --unit='imds*' --no-pager --output=cat | sed 's/^/log: /'
"""


@pytest.fixture(scope="module")
def booted(tmp_path_factory):
    """What the script said, by name; and the log of our units."""
    given = tmp_path_factory.mktemp("given")
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("imds", "systemd"):
        shutil.copytree(PROJECT / name, given / "project" / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, given / "project")
    (given / "credentials").write_text(CREDENTIALS)
    (given / "config.yaml").write_text(CONFIG)
    (given / "user.yaml").write_text(USER_CONFIG)
    (given / "script").write_text(SCRIPT)
    with Namespace("boot") as namespace, StandInSts(namespace=namespace) as sts:
        for address in ("169.254.169.254/32", "fd00:ec2::254/128"):  # the units are to bring them
            run("ip", "-n", namespace.name, "address", "del", address, "dev", "lo")
        drop_in = DROP_IN % sts.url
        (given / "imds.conf").write_text(drop_in + MACHINE)
        (given / "imds@.conf").write_text(drop_in)
        done = subprocess.run(
            [BOOT, namespace.name, given, "/bin/bash", "/opt/given/script"],
            env={**os.environ, "PREPARE": PREPARE},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=110,
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


def test_a_leased_command_runs_in_a_scope(booted):
    """The user's own manager makes it: the command's status passes, its lease works, nothing else is given there."""
    assert re.fullmatch(r"0::/\S+/user@\d+\.service/\S*imds-lease-[0-9a-f]{12}\.scope", booted["scope"])
    assert booted["scope_status"] == "7"
    assert (booted["scope_lease"], booted["scope_role"]) == ("200", "404")
    assert booted["scope_outside"] == "app"
