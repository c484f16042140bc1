"""The units under a real service manager: a copy-on-write view of this machine's root, booted in a namespace."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.fakes import KNOWN_SECRETS
from support.namespaces import ADDRESSES, ADDRESSES_6, Namespace, needs_root, run
from support.sts import StandInSts

PROJECT = Path(__file__).parents[2]
BOOT = PROJECT / "tests" / "support" / "boot.sh"
SCRIPT = PROJECT / "tests" / "support" / "service.sh"
PROGRAMS = ("systemd-nspawn", "nft", "curl", "nsenter")
CANNOT, NO_PROGRAM = 77, 78

pytestmark = [
    needs_root,
    pytest.mark.timeout(320),  # it installs, boots, and lives through a service's life; a busy machine takes its time
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

LEASING = """\
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
WatchdogSec=3
TimeoutAbortSec=1
"""


def hop_away() -> list[str]:
    """Return the unit and the drop-in that the documentation shows."""
    text = (PROJECT / "systemd" / "README.md").read_text().partition("**A hop away.**")[2]
    return re.findall(r"```ini\n(.*?)```", text, flags=re.DOTALL)


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
    (given / "leasing.yaml").write_text(LEASING)
    shutil.copy(SCRIPT, given / "script")
    for name, text in zip(("faithful.service", "faithful.conf"), hop_away(), strict=True):
        (given / name).write_text(text)
    with Namespace("boot") as namespace, StandInSts(namespace=namespace) as sts:
        for address in (*ADDRESSES, *ADDRESSES_6):  # the units are to bring them
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
            timeout=300,
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


def test_who_may_not_install(booted):
    """Without root the exact command is printed, after what it would do; a program in a home is refused."""
    assert "  write /etc/systemd/system/imds.socket|" in booted["no_root"]
    assert booted["no_root"].endswith("imds: this needs root:|imds: sudo /opt/imds/bin/imds service install --for dev|")
    assert booted["in_a_home"].startswith("imds: /home/dev/venv/bin/python is below /home, and a service")
    assert "/usr/bin/python3 -m venv /opt/imds" in booted["in_a_home"]
    assert "next: sudo /opt/imds/bin/imds service install" in booted["not_installed"]
    assert booted["dry_run"] == ""


def test_nothing_starts_without_a_configuration(booted):
    """The machine's service would end at once without one: the socket stays closed, and it is said what to write."""
    assert "imds.socket is not started: /etc/imds/config.yaml is missing" in booted["no_config"]
    assert booted["not_started"] == "enabled inactive"
    assert booted["no_config_status"] == "1"
    assert "/etc/imds/config.yaml is missing" in booted["no_config_next"]
    assert booted["installed"].endswith("  systemctl start imds.socket|imds.socket waits for clients|")


def test_the_first_client_starts_the_service_of_the_machine(booted):
    """The socket brings addresses and guard; the first connection starts the daemon, under a user of its own."""
    assert booted["before"] == "inactive"
    assert (booted["addresses"], booted["guard"]) == ("2", "2")
    assert (booted["first"], booted["v6"]) == ("200", "200")
    assert booted["user"] == "imds yes"
    assert booted["status"] == "serving 1 of 1 roles"
    assert booted["reloaded"] == "active success"


def test_the_hardened_service_signs_documents(booted):
    """The program that signs runs under the service's limits, and its key is kept, for nobody else to read."""
    assert (booted["signature"], booted["own_signature"]) == ("256", "256")
    assert booted["identity"] == "600"


def test_an_installation_that_is_right_is_left_alone(booted):
    """A second installation has nothing to do, and the status is 0 and says so."""
    assert "  nothing is to be done|imds.socket waits for clients|" in booted["again"]
    assert booted["well"] == "0"
    assert booted["json"] == "False None ['active', 'active', 'active']|"


def test_an_upgrade_in_place(booted):
    """It says what changes, keeps drop-ins, restarts when asked or when the program has gone, and no request fails."""
    assert "imds.service goes on as it was until it is restarted" in booted["newer"]
    assert booted["newer_next"] == "next: sudo /opt/imds/bin/imds service install --restart  (imds 0.1.0 still runs)|"
    assert "the units are not this version's" in booted["stale"]
    assert "      - ExecStart=/opt/imds/bin/imds serve --config /etc/imds/config.yaml|" in booted["upgraded"]
    assert "  keep /etc/systemd/system/imds.service.d/test.conf, which is yours|" in booted["upgraded"]
    assert booted["untouched"] == "yes no"
    assert booted["upgrade"] == "200 enough"
    assert "/opt/new/bin/python -P -m imds serve" in booted["moved"]
    assert "  systemctl restart imds.service|" in booted["program_gone"]
    assert booted["gone"] == "200 enough"
    assert "/opt/imds/bin/imds serve" in booted["moved_back"]


def test_changes_by_hand_are_not_lost(booted):
    """A unit that somebody changed is replaced with --force only, and the change is shown."""
    assert booted["changed_status"] == "1"
    assert "imds.service was changed by hand|imds:   - TimeoutStopSec=11|" in booted["changed"]
    assert "  update /etc/systemd/system/imds.service|      - TimeoutStopSec=11|" in booted["forced"]


def test_a_wrong_configuration_stops_nothing(booted):
    """What runs is not restarted into a configuration with mistakes."""
    assert "what runs goes on as it is: the configuration is wrong:|/etc/imds/config.yaml:" in booted["wrong_config"]
    assert booted["still"] == "200 active"


def test_a_socket_that_gave_up_is_opened_again(booted):
    """Where the service could not start, it is said why and what to do, and an installation starts it anew."""
    assert booted["gave_up"].startswith("next: the configuration is wrong:|/etc/imds/config.yaml:")
    assert "journalctl --unit=imds.service" in booted["mended_next"]
    assert "  systemctl reset-failed imds.socket" in booted["mended"]
    assert booted["mended_token"] == "200"


def test_callers_decide_who_is_answered(booted):
    """Whom the configuration names has the role; other users, root too, get nothing."""
    assert booted["role"] == "app"
    assert (booted["stranger"], booted["root"]) == ("403", "403")


def test_the_control_socket_is_where_commands_look(booted):
    """``imds status`` of root finds the daemon in /run/imds; no other user may connect."""
    assert (booted["control"], booted["asked"]) == ("600", '"app"')


def test_restarts_fail_no_request(booted):
    """Clients that keep asking across three restarts are all answered."""
    assert booted["restarts"] == "200 enough"


def test_sockets_can_be_a_hop_away(booted):
    """With the unit and the drop-in of the documentation the sockets are in a namespace; who calls is known."""
    assert (booted["hop"], booted["hop_topology"]) == ("dev imds0", "1"), booted["log"]
    assert (booted["hop_own"], booted["hop_role"], booted["hop_stranger"]) == ("200", "default", "403")
    assert booted["hop_exec"] == "1"
    assert booted["hop_left"].split() == ["0", "0", "0"]


def test_sessions_stay_with_systemd(booted):
    """Restarts and a crash change no key; systemd holds one descriptor, the disk nothing."""
    assert booted["kept"] == '"sessions":{"kept_in":"fd_store","restored":[]}'
    assert booted["restored"] == '"sessions":{"kept_in":"fd_store","restored":["app"]}'
    assert booted["key"].startswith("ASIA")
    assert booted["key"] == booted["key_restarted"] == booted["key_killed"]
    assert (booted["descriptors"], booted["descriptors_after"]) == ("1", "1")
    assert booted["on_disk"] == "0"


def test_sessions_of_one_user_stay_too(booted):
    """The service of a user has them in the same way."""
    assert booted["own_key"].startswith("ASIA")
    assert booted["own_key"] == booted["own_key_again"]
    assert booted["own_sessions"] == '"sessions":{"kept_in":"fd_store","restored":["default"]}'


def test_uninstalling_leaves_nothing(booted):
    """Addresses, guard, sockets, state and files go, whatever became of the guard; what is not ours stays as it was."""
    assert booted["stopped"] == "inactive inactive"
    assert booted["left"].split() == ["0"]
    assert booted["listening"] == "0"
    assert (booted["remains"], booted["own_remains"], booted["user_remains"]) == ("", "", "")
    assert "  keep /etc/imds/credentials, which is yours|" in booted["uninstalled"]
    assert booted["own_left"].split() == ["0"]
    assert "guard_left" not in booted
    assert booted["failed"] == ""


def test_the_service_of_one_user_sees_that_user_only(booted):
    """It signs with its user's keys, answers that user without ``callers``, sees one ~/.aws, and commands find it."""
    assert (booted["own"], booted["own_stranger"]) == ("200", "403")
    assert booted["own_status"] == "serving 1 of 1 roles"
    assert booted["own_role"] == "default"
    assert booted["homes"].split() == ["dev"]
    assert booted["inside"].split() == [".aws"]
    assert booted["writable"] == ""
    assert booted["own_control"] != "0"
    assert (booted["others_status"], booted["others_dry_run"]) == ("0", "0"), "the home is closed to others"
    assert set(booted["keys"]) == {"KEY", "AKIAdev"}


def test_the_sockets_go_to_another_user(booted):
    """A later installation stays with its user until another is named, whose home may be anywhere."""
    assert "for dev|" in booted["own_again_installed"]
    assert "nothing is to be done" in booted["own_again_installed"]
    assert "      + Service=imds@far.service|" in booted["handed_on"]
    assert booted["far"] == "200 403 default"


def test_a_killed_service_is_replaced(booted):
    """After SIGKILL, or when the watchdog hears nothing, the next client is answered by a new process."""
    assert booted["own_again"] == "200"
    assert booted["watched"] == "200"
    assert booted["replaced"] == "yes 1"


def test_the_units_of_a_users_own_manager(booted):
    """They need no root, listen on loopback, answer their user only, and know which program is calling."""
    assert "imds.socket is not started: http://127.0.0.1:9254/ is taken by" in booted["user_taken"]
    assert "EC2's own address and port 80 need the system's service" in booted["user_installed"]
    assert (booted["user_first"], booted["user_stranger"]) == ("200", "403")
    assert booted["user_role"] == "default"
    assert booted["user_well"] == "0"
    assert booted["user_sees"] == "1"
    assert "run it as dev, without sudo" in booted["user_by_sudo"]
    assert "kept: /home/dev/.local/state/imds" in booted["user_uninstalled"]


def test_the_log_is_fit_to_be_read(booted):
    """No traceback, no secret."""
    assert "serves 1 role" in booted["log"]
    assert "Traceback" not in booted["log"] + booted["errors"]
    assert not any(secret in booted["log"] for secret in KNOWN_SECRETS)


def test_a_leased_command_runs_in_a_scope(booted):
    """The user's own manager makes it: the command's status passes, its lease works, nothing else is given there."""
    assert re.fullmatch(r"0::/\S+/user@\d+\.service/\S*imds-lease-[0-9a-f]{12}\.scope", booted["scope"])
    assert booted["scope_status"] == "7"
    assert (booted["scope_lease"], booted["scope_role"]) == ("200", "404")
    assert booted["scope_outside"] == "app"
