"""``imds exec`` and ``imds env``, as users run them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.daemon import DaemonProcess, clean_environment, write_profile

if TYPE_CHECKING:
    from pathlib import Path

    from support.emulators import Moto

SHOW = "import json, os; print(json.dumps(dict(os.environ)))"
FULL_URI, TOKEN = "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"
FETCH = (
    "import os, urllib.request as u; r = u.Request(os.environ['" + FULL_URI + "'], headers={'Authorization': "
    "os.environ['" + TOKEN + "']}); print(u.build_opener(u.ProxyHandler({})).open(r).status)"
)


def test_child_sees_the_role_and_nothing_else(served: DaemonProcess) -> None:
    """Keys and profiles are taken away; the endpoint, the region and NO_PROXY are set."""
    done = served.imds(
        *("exec", "audited", "--", sys.executable, "-c", SHOW),
        AWS_PROFILE="x",
        AWS_ACCESS_KEY_ID="x",
        AWS_SESSION_TOKEN="x",
        NO_PROXY="corp",
    )
    seen = json.loads(done.stdout)
    assert not {"AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"} & set(seen)
    assert seen[FULL_URI].startswith(f"{served.url}v2/credentials/")
    assert seen["AWS_REGION"] == "eu-west-1"
    assert seen["NO_PROXY"].startswith("corp,169.254.169.254,")


def test_token_ends_with_the_command(served: DaemonProcess) -> None:
    """While the command runs it gets credentials; afterwards the token is revoked."""
    assert served.imds("exec", "--", sys.executable, "-c", FETCH).stdout == "200\n"
    assert served.status()["container_tokens"] == 0


def test_without_a_daemon(home: Path, moto_server: Moto) -> None:
    """With no daemon, a server lives as long as the command."""
    apart = DaemonProcess(home, environment={"AWS_ENDPOINT_URL_STS": moto_server.url, "AWS_PROFILE": "work"})
    assert apart.imds("exec", "--", sys.executable, "-c", FETCH).stdout == "200\n"


NEEDY = """\
region: eu-west-1
roles:
  app: {role_arn: "arn:aws:iam::111122223333:role/app", source: {profile: work}}
  above: {role_arn: "arn:aws:iam::111122223333:role/above", source: {role: app}}
  person: {role_arn: "arn:aws:iam::111122223333:role/person", source: {profile: work, mfa_serial: GAHT12345678}}
  broken: {role_arn: "arn:aws:iam::111122223333:role/broken", source: {process: {command: [/nowhere/x]}}}
instances: {default: {role: broken, roles: [app, above, person]}}
"""


def test_without_a_daemon_only_that_role(home: Path, moto_server: Moto, tmp_path: Path) -> None:
    """Nothing is asked for roles that the command does not have; what it lacks is said instead of running it."""
    config = tmp_path / "needy.yaml"
    config.write_text(NEEDY)
    apart = DaemonProcess(home, environment={"AWS_ENDPOINT_URL_STS": moto_server.url})
    moto_server.record()
    done = apart.imds("exec", "--config", str(config), "above", "--", sys.executable, "-c", FETCH)
    asked = [call["RoleArn"].rpartition("/")[2] for call in moto_server.recorded() if "RoleArn" in call]
    assert done.stdout == "200\n"
    assert asked == ["app", "above"]
    for role, said in {
        "person": "role person has no credentials: start imds serve first, for it is waiting for an MFA code",
        "broken": "role broken has no credentials: Program: /nowhere/x: No such file or directory",
        "nope": "role nope is not one of yours; there are: above, app, broken, person",
    }.items():
        done = apart.imds("exec", "--config", str(config), role, "--", sys.executable, "-c", "print(1)", check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr


def test_shadowing_default_profile_is_put_aside(served: DaemonProcess) -> None:
    """A default profile with keys would win, so its file is replaced, and a note says so."""
    (served.home / ".aws" / "credentials").write_text("[default]\naws_access_key_id = x\naws_secret_access_key = y\n")
    done = served.imds("exec", "--", sys.executable, "-c", SHOW)
    assert json.loads(done.stdout)["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    assert "imds: the default profile in " in done.stderr


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        (["sh", "-c", "exit 7"], 7, ""),
        (["sh", "-c", "kill -9 $$"], 137, ""),
        (["no-such-command-x"], 127, "imds: no-such-command-x: command not found\n"),
        (["/"], 126, "imds: /: Permission denied\n"),
    ],
    ids=["status", "signal", "not found", "not executable"],
)
def test_exit_status(served: DaemonProcess, command: list[str], status: int, said: str) -> None:
    """The exit status is the command's, as a shell would report it."""
    done = served.imds("exec", "--", *command, check=False)
    assert (done.returncode, done.stderr) == (status, said)


def test_sigterm_reaches_the_child(served: DaemonProcess) -> None:
    """SIGTERM goes to the command, whose own exit status counts, and the token is revoked all the same."""
    script = "trap 'kill $!; exit 9' TERM; echo up; sleep 60 & wait"
    command = [sys.executable, "-m", "imds", "exec", "--", "bash", "-c", script]
    with subprocess.Popen(command, env=served.environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout.readline() == "up\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 9
    assert served.status()["container_tokens"] == 0


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["exec", "nope", "--", "true"], 1, "role nope is not one of yours; there are: app, audited"),
        (["exec", "true"], 2, "put -- and the command at the end: imds exec ROLE -- aws s3 ls"),
        (["exec", "app", "--"], 2, "put -- and the command at the end"),
        (["env", "nope"], 1, "role nope is not one of yours; there are: app, audited"),
    ],
)
def test_mistaken_call(served: DaemonProcess, arguments: list[str], status: int, said: str) -> None:
    """A wrong call says what to write instead, on standard error only."""
    done = served.imds(*arguments, check=False)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr


def test_env_in_bash(served: DaemonProcess) -> None:
    """What ``env`` prints, evaluated by bash, lets a client in and takes its old keys away."""
    script = f'eval "$({sys.executable} -m imds env)"; echo "${{AWS_PROFILE-none}}"; {sys.executable} -c "$FETCH"'
    environment = served.environment | {"FETCH": FETCH, "AWS_PROFILE": "x"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "none\n200\n"


@pytest.mark.parametrize(
    ("shell", "remove", "assign"),
    [
        ("fish", "set -e AWS_PROFILE", f"set -gx {FULL_URI} 'http"),
        ("powershell", "Remove-Item Env:AWS_PROFILE", f"$env:{FULL_URI} = 'http"),
        ("dotenv", None, f"{FULL_URI}=http"),
    ],
)
def test_env_in_other_shells(served: DaemonProcess, shell: str, remove: str | None, assign: str) -> None:
    """Each dialect removes what shadows and assigns the endpoint."""
    lines = served.imds("env", "--shell", shell, AWS_PROFILE="x").stdout.splitlines()
    assert [line for line in lines if "AWS_PROFILE" in line] == ([remove] if remove else [])
    assert any(line.startswith(assign) for line in lines)


def test_env_without_a_daemon(home: Path) -> None:
    """Nobody would serve the token, so this is an error that names the places looked at."""
    write_profile(home, "default")
    command = [sys.executable, "-m", "imds", "env"]
    done = subprocess.run(command, env=clean_environment(home), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no imds daemon is running (looked at " in done.stderr
