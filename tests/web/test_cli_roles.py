"""``imds roles``, ``use`` and ``refresh``, and a configuration that is read again: roles of a running daemon."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support import wire
from support.answering import CONFIG, start
from support.daemon import write_config
from support.machine import eventually

if TYPE_CHECKING:
    from pathlib import Path

ODD = "my+role@x=1,a.b_c-d"
ROLES = "/latest/meta-data/iam/security-credentials/"


@pytest.fixture
def daemon(tmp_path, moto_server):
    """A daemon of its own."""
    with start(tmp_path, moto_server, CONFIG.format(mode="optional")) as running:
        yield running


def listed(daemon) -> str:
    """Return what the listing shows."""
    return wire.get(daemon.address, ROLES).body.decode()


def key(daemon, role: str = "app") -> str:
    """Return the access key id that is served."""
    return json.loads(wire.get(daemon.address, ROLES + role).body)["AccessKeyId"]


def test_the_role_that_clients_get_can_be_changed(daemon):
    """The listing shows the other one at once, the first stays reachable by name, and a reload changes nothing."""
    assert listed(daemon) == "app"
    assert daemon.imds("use", ODD).stdout == f"instance default lists {ODD}\n"
    assert listed(daemon) == ODD
    assert wire.get(daemon.address, ROLES + "app").status == 200
    lines = daemon.imds("roles").stdout.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("*")] == ["*"]
    assert f"* {ODD}" in daemon.imds("roles").stdout
    daemon.imds("reload")
    assert listed(daemon) == ODD
    assert [role["name"] for role in json.loads(daemon.imds("roles", "--json").stdout)] == ["app", ODD, "private"]


def test_a_reload_that_takes_the_role_away_takes_it_away(daemon, tmp_path: Path):
    """Who may not have it any more does not get it, whatever was used before."""
    daemon.imds("use", ODD)
    text = CONFIG.format(mode="optional").replace(f'default: {{role: app, roles: ["{ODD}"]}}', "default: {role: app}")
    write_config(tmp_path / "imds.yaml", text)
    daemon.imds("reload")
    assert listed(daemon) == "app"
    assert wire.get(daemon.address, ROLES + ODD).status == 404


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("use", "private"), f"instance default does not allow role private; it allows: app, {ODD}"),
        (("use", "app", "--instance", "nowhere"), "no instance nowhere; there are: default, other"),
        (("refresh", "nothing"), f"no role nothing; there are: app, {ODD}, private"),
    ],
)
def test_what_cannot_be_is_told(daemon, command, message):
    """In words; nothing changes."""
    failed = daemon.imds(*command, check=False)
    assert (failed.returncode, failed.stderr) == (1, f"imds: {message}\n")
    assert listed(daemon) == "app"


def test_a_session_can_be_renewed_at_once(daemon):
    """One role, or all: another key is served when the command ends."""
    first, other = key(daemon), key(daemon, ODD)
    assert "until" in daemon.imds("refresh", "app").stdout
    assert key(daemon) != first
    assert key(daemon, ODD) == other
    daemon.imds("refresh")
    assert key(daemon, ODD) != other


def test_a_renewal_that_fails_is_told_and_takes_nothing(daemon, tmp_path: Path):
    """The live session stays, the reason is shown, and the exit status says so."""
    first = key(daemon)
    (tmp_path / ".aws" / "credentials").unlink(missing_ok=True)
    (tmp_path / ".aws" / "config").write_text("[profile work]\nregion = eu-west-1\n")
    failed = daemon.imds("refresh", "app", check=False)
    assert failed.returncode == 1
    assert "not renewed:" in failed.stdout
    assert key(daemon) == first


def test_a_wrong_file_is_told_by_status(daemon, tmp_path: Path):
    """Who asks later sees that the configuration in force is not the one in the file, and why."""
    before = (tmp_path / "imds.yaml").read_text()
    (tmp_path / "imds.yaml").write_text("roles: {app: {sorce: x}}\n")
    assert daemon.imds("reload", check=False).returncode != 0
    assert "imds.yaml:1: roles.app.sorce: is not a key: did you mean source?" in daemon.imds("status").stdout
    assert listed(daemon) == "app"
    (tmp_path / "imds.yaml").write_text(before)
    daemon.imds("reload")
    assert daemon.status()["reload_problems"] == []


def test_a_file_that_changes_is_read_by_itself_where_that_is_wanted(tmp_path: Path, moto_server):
    """The configuration, or a file that it names; a wrong one changes nothing, and is told."""
    data = tmp_path / "user-data"
    data.write_text("one")
    text = "    reload_on_change: true\n" + CONFIG.format(mode="optional").replace(
        "default: {role: app,", f"default: {{user_data: {{file: {data}}}, role: app,"
    )
    with start(tmp_path, moto_server, text) as daemon:
        address = daemon.address
        data.write_text("two")
        assert eventually(lambda: wire.get(address, "/latest/user-data").body == b"two")
        (tmp_path / "imds.yaml").write_text("roles: [\n")
        assert eventually(lambda: daemon.status()["reload_problems"])
        assert wire.get(address, "/latest/user-data").body == b"two"
        write_config(tmp_path / "imds.yaml", text.replace("role: app,", "role: app, metadata: {profile: odd},"))
        assert eventually(lambda: wire.get(address, "/latest/meta-data/profile").body == b"odd")
