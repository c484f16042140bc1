"""``imds serve``, ``reload``, ``status``, ``check-config`` and the rest of the command line, as users run them."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from signal import SIGHUP
from typing import TYPE_CHECKING

import pytest
from support.daemon import DaemonProcess, write_config

import imds
from imds.cli import COMMANDS

if TYPE_CHECKING:
    from support.emulators import Moto

LOOPBACK = ("--listen", "http://127.0.0.1:0")
ARN = "arn:aws:iam::111122223333:role/"


def run(home: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a command where no daemon is."""
    return DaemonProcess(home).imds(*arguments, check=False, **changes)


@pytest.mark.parametrize(
    ("arguments", "changes", "roles"),
    [
        ([], {"AWS_PROFILE": "work"}, [("work", None)]),
        (["--profile", "work"], {}, [("work", None)]),
        ([], {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "s"}, [("default", None)]),
        (["--profile", "work", "--role-arn", f"{ARN}app"], {}, [("app", f"{ARN}app")]),
        (["--profile", "work", "--role", f"x={ARN}a", "--role", f"y={ARN}b"], {}, [("x", f"{ARN}a"), ("y", f"{ARN}b")]),
    ],
    ids=["AWS_PROFILE", "--profile", "keys", "--role-arn", "--role"],
)
def test_serve_without_configuration(
    home: Path, moto_server: Moto, arguments: list[str], changes: dict[str, str], roles: list[tuple[str, str | None]]
) -> None:
    """Variables and options are enough to serve."""
    environment = changes | {"AWS_ENDPOINT_URL_STS": moto_server.url}
    with DaemonProcess(home, "serve", *LOOPBACK, *arguments, environment=environment) as daemon:
        status = daemon.status()
        assert [(role["name"], role["role_arn"]) for role in status["roles"]] == roles
        assert {role["state"] for role in status["roles"]} == {"ok"}
        assert f"pid {status['pid']}" in daemon.imds("status").stdout


@pytest.mark.parametrize("url", ["nonsense", "https://127.0.0.1:1", "http://127.0.0.1:99999"])
def test_listen_nonsense(home: Path, url: str) -> None:
    """A wrong address is a usage error that shows a right one."""
    done = run(home, "serve", "--listen", url)
    assert done.returncode == 2
    assert "write http://ADDRESS:PORT, such as http://127.0.0.1:9254" in done.stderr


def test_port_taken(home: Path) -> None:
    """A taken port ends with 75."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(home, "serve", "--listen", f"http://127.0.0.1:{port}", AWS_PROFILE="work")
    assert done.returncode == 75
    assert str(port) in done.stderr


def test_second_daemon(served: DaemonProcess) -> None:
    """A second daemon on the same control socket ends with 75."""
    done = served.imds("serve", *LOOPBACK, check=False, AWS_PROFILE="work")
    assert done.returncode == 75, done.stderr


@pytest.mark.parametrize("command", [["serve", "--config"], ["check-config"]])
def test_wrong_configuration_is_78(home: Path, command: list[str]) -> None:
    """A wrong or a missing configuration ends with 78 and the place of every mistake."""
    path = write_config(home / "bad.yaml", "regoin: x\nroles: {}\n")
    done = run(home, *command, str(path))
    assert (done.returncode, done.stdout) == (78, "")
    assert [
        line.partition(": ")[2].split(": ")[0] for line in done.stderr.splitlines() if line.startswith("imds: ")
    ] == [f"{path}:1", f"{path}:2"]
    assert run(home, *command, str(home / "missing.yaml")).returncode == 78


def test_reload(served: DaemonProcess) -> None:
    """A bad file changes nothing, a new address asks for a restart, and unchanged roles keep their session."""
    path = Path(served.arguments[-1])
    text, before = path.read_text(), served.status()["roles"]
    path.write_text(text + "nonsense: 1\n")
    done = served.imds("reload", check=False)
    assert done.returncode == 78
    assert "nonsense: is not a key" in done.stderr
    assert [role["name"] for role in served.status()["roles"]] == ["app", "audited"]
    path.write_text(text.replace(":0", ":1") + "  more: {source: {profile: work}}\n")
    assert served.imds("reload").stderr == "imds: restart the daemon for: listen\n"
    after = served.status()["roles"]
    assert [role["name"] for role in after] == ["app", "audited", "more"]
    assert [role["access_key_id"] for role in after[:2]] == [role["access_key_id"] for role in before]


def test_sighup_reloads(served: DaemonProcess) -> None:
    """SIGHUP is told to the service manager as a reload, and a bad file changes nothing."""
    Path(served.arguments[-1]).write_text("x: 1\n")
    served.signal(SIGHUP)
    served.wait_for("the new configuration is wrong")
    assert len(served.status()["roles"]) == 2


def test_version(home: Path) -> None:
    """``--version`` says the package's version."""
    assert run(home, "--version").stdout == f"imds, version {imds.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(home: Path, command: str) -> None:
    """Every command's help has a line to copy."""
    text = run(home, command, "--help").stdout
    assert f"imds {command}" in text.partition("\n")[2], text


def test_light_start(home: Path) -> None:
    """The command line alone imports nothing slow."""
    script = "import sys, imds.cli; print({'boto3', 'botocore', 'aiohttp', 'asyncio', 'yaml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=home)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(home: Path, shell: str) -> None:
    """A script for each shell is printed; each asks ``imds`` itself."""
    assert "_IMDS_COMPLETE" in run(home, "completion", shell).stdout


def test_bash_completes(home: Path) -> None:
    """Bash, with the script sourced, completes a command's name."""
    script = f"""
        PATH={Path(sys.executable).parent}:$PATH
        eval "$(imds completion bash)"
        COMP_WORDS=(imds che) COMP_CWORD=1
        _imds_completion imds; echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=home)
    assert done.stdout == "check-config\n"
