"""The units are sound, hardened, and what the daemon expects of a service manager."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
GUARD = SYSTEMD.parent / "imds" / "host" / "service" / "system" / "guard.nft"

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd's tools")


@pytest.fixture
def units(tmp_path) -> Path:
    """A copy of the units whose program exists; the template as an instance of its own."""
    folder = tmp_path / "units"
    folder.mkdir()
    for unit in SYSTEMD.glob("imds*"):
        text = unit.read_text().replace("/opt/imds/bin/imds", "/bin/true")
        (folder / unit.name.replace("@", "@root")).write_text(text)
        (folder / unit.name).write_text(text)
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


@pytest.mark.skipif(shutil.which("nft") is None, reason="needs nftables")
def test_the_guard_parses():
    """The guard is what nft takes."""
    done = subprocess.run(["nft", "--check", "--file", GUARD], capture_output=True, text=True, check=False)
    if "Operation not permitted" in done.stderr:
        pytest.skip("nft --check needs root")
    assert done.returncode == 0, done.stderr
