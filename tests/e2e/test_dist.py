"""The wheel and the source distribution, installed as strangers install them."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from support import wire
from support.daemon import DaemonProcess, write_config

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both distributions."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return folder


@pytest.mark.timeout(600)
def test_the_wheel_serves(built, tmp_path, home, moto_server):
    """A clean virtual environment with only the wheel runs the daemon."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    wheel = next(built.glob("*.whl"))
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", str(wheel)], check=True, timeout=500)
    config = write_config(
        home / "imds.yaml",
        """\
        listen: ["http://127.0.0.1:0"]
        roles:
          app: {role_arn: "arn:aws:iam::111122223333:role/app", source: {profile: work}}
        """,
    )
    daemon = DaemonProcess(
        home, "serve", "--config", str(config), environment={"AWS_ENDPOINT_URL_STS": moto_server.url}
    )
    daemon.python = str(python)
    with daemon:
        assert wire.get(daemon.address, "/latest/meta-data/iam/security-credentials/").body == b"app"


def test_the_wheel_holds_the_package_and_nothing_else(built):
    """No test, no benchmark and no development file is installed."""
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        tops = {name.split("/")[0] for name in wheel.namelist()}
        files = set(wheel.namelist())
    assert {top for top in tops if not top.endswith(".dist-info")} == {"imds"}
    units = {"system/imds.service", "system/guard.nft", "user/imds.socket"}
    assert {f"imds/host/service/{name}" for name in units} <= files


def test_the_source_distribution_is_complete(built):
    """It holds what is needed to build, to test and to run as a service."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"pyproject.toml", "LICENSE", "README.md", "config.example.yaml", "imds/cli/__init__.py"} <= names
    assert {"systemd/README.md", "deploy/Dockerfile", "deploy/kubernetes/sidecar.yaml"} <= names
