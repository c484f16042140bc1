"""The units are sound, hardened, and what the daemon expects of a service manager."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from imds.host.service.units import Owner, system_scope, user_scope

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd's tools")


@pytest.fixture
def units(tmp_path) -> Path:
    """A copy of the units whose program exists; the template as an instance of its own."""
    owner = Owner(name="root", home=Path("/srv/elsewhere"))
    for file in system_scope(tmp_path).files(("/bin/true",), owner):
        file.write()
    folder = tmp_path / "etc" / "systemd" / "system"
    (folder / "imds@root.service").write_text((folder / "imds@.service").read_text())
    return folder


NAMES = ["imds.socket", "imds.service", "imds-address.service", "imds@root.service"]


@pytest.mark.parametrize("name", NAMES)
def test_verified(units, name):
    """No unit has anything wrong in it, says systemd."""
    done = subprocess.run(
        ["systemd-analyze", "verify", f"./{name}"], cwd=units, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".service")])
def test_exposure(units, name):
    """The measure of exposure that systemd takes stays at 2.5 or below for every service."""
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=25", f"./{name}"]
    done = subprocess.run(command, cwd=units, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_a_users_units_are_verified(tmp_path):
    """Nor has any of a user's own."""
    files = user_scope({"XDG_CONFIG_HOME": str(tmp_path)}).files(("/bin/true",))
    for file in files:
        file.write()
    for file in files:
        command = ["systemd-analyze", "verify", "--user", f"./{file.path.name}"]
        environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}
        done = subprocess.run(
            command, cwd=file.path.parent, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_a_users_service_is_as_hardened_as_its_manager_can(tmp_path):
    """It has every limit of the system's that needs neither a namespace nor a capability, and no other.

    systemd would measure it as if root ran it, and a namespace of its own would hide from it who is calling.
    """
    own = next(
        file for file in user_scope({"HOME": str(tmp_path)}).files(("imds",)) if file.path.name == "imds.service"
    )
    ours = next(file for file in system_scope(tmp_path).files(("imds",)) if file.path.name == "imds.service")
    limits = {line for line in own.text.partition("WatchdogSec=30\n")[2].splitlines() if line}
    assert limits <= set(ours.text.splitlines())
    left_out = {line.partition("=")[0] for line in set(ours.text.partition("LimitNOFILE")[2].splitlines()) - limits}
    namespaces = {name for name in left_out if name.startswith(("Protect", "Private"))}
    assert left_out - namespaces <= {"", "RemoveIPC"}


@pytest.mark.skipif(shutil.which("nft") is None, reason="needs nftables")
def test_the_guard_parses(tmp_path):
    """The guard is what nft takes."""
    guard = system_scope(tmp_path).files(("imds",))[0]
    guard.write()
    done = subprocess.run(["nft", "--check", "--file", guard.path], capture_output=True, text=True, check=False)
    if "Operation not permitted" in done.stderr:
        pytest.skip("nft --check needs root")
    assert done.returncode == 0, done.stderr
