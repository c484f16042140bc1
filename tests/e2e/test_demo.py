"""``imds demo``, as a stranger tries it: what it prints is pasted into a shell that has a past."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from time import monotonic, sleep
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from support.clients import client_python
from support.daemon import PATIENCE, DaemonProcess, clean_environment, write_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAST_LINE = "Ctrl-C ends the demo."
PRODUCTION = "[default]\naws_access_key_id = AKIAPRODUCTION\naws_secret_access_key = secret\nregion = us-gov-east-1\n"
PAST = {
    "AWS_ACCESS_KEY_ID": "AKIAPRODUCTION",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
    "AWS_PROFILE": "production",
    "AWS_DEFAULT_PROFILE": "production",
    "AWS_ROLE_ARN": "arn:aws:iam::999999999999:role/production",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_REGION": "us-gov-east-1",
    "AWS_DEFAULT_REGION": "us-gov-east-1",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "no_proxy": "example.com",
}
"""What a person's shell may hold; nobody listens on port 9."""


class Demo(DaemonProcess):
    """The demo, on a free port and with a place of its own for temporary files."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.temporary = home / "tmp"
        self.temporary.mkdir(parents=True)
        environment = PAST | {"TMPDIR": str(self.temporary)}
        command = ("demo", "--listen", "http://127.0.0.1:0", *arguments)
        super().__init__(home, *command, environment=environment, ready=False)

    def wait_for_text(self, text: str, times: int = 1) -> None:
        """Wait until it has said ``text``."""
        deadline = monotonic() + PATIENCE
        while self.log.count(text) < times:
            assert self.process.poll() is None, self.log
            assert monotonic() < deadline, self.log
            sleep(0.05)  # it writes to a file; there is nothing to wait on

    @property
    def pasted(self) -> list[str]:
        """The lines that it asks people to paste."""
        return self._block("another terminal:")

    @property
    def suggested(self) -> list[str]:
        """The commands that it suggests then."""
        return self._block("any AWS client you have:")

    def _block(self, after: str) -> list[str]:
        lines = self.log.partition(after)[2].lstrip("\n").splitlines()
        return lines[: lines.index("")]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """A demo that has said what to paste."""
    with Demo(tmp_path / "demo") as process:
        process.wait_for_text(LAST_LINE)
        yield process


def paste(demo: Demo, home: Path, *commands: str) -> str:
    """Return what ``commands`` print in a shell with a past, after the demo's lines."""
    home.mkdir()
    for name in ("config", "credentials"):
        write_config(home / ".aws" / name, PRODUCTION)
    environment = clean_environment(home)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        del environment[name]
    environment |= PAST | {"PATH": f"{client_python('awscli').parent}:{environment['PATH']}", "AWS_PAGER": ""}
    done = subprocess.run(
        ["bash", "-euc", "\n".join([*demo.pasted, *commands])],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{demo.log}"
    return done.stdout


def test_three_lines_are_to_be_pasted(demo):
    """What leads a shell to the demo is three lines, the last the one that every daemon prints."""
    assert len(demo.pasted) == 3
    assert re.fullmatch(r"  export AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127\.0\.0\.1:\d+/", demo.pasted[2])


def test_the_aws_cli_answers_with_the_demos_role(demo, tmp_path):
    """After pasting, whatever the shell held before, the suggested commands answer as the demo says."""
    app, audited, status = demo.suggested
    caller = json.loads(paste(demo, tmp_path / "one", app))
    assert caller["Account"] == "111122223333"
    assert ":assumed-role/app/" in caller["Arn"]
    caller = json.loads(paste(demo, tmp_path / "two", audited))
    assert caller["Account"] == "444455556666"
    assert ":assumed-role/audited/" in caller["Arn"]
    printed = paste(demo, tmp_path / "three", status)
    assert "app" in printed
    assert "audited" in printed


def test_fast_renews_every_ten_seconds(tmp_path):
    """With ``--fast`` a role gets a new session after ten seconds."""
    with Demo(tmp_path / "demo", "--fast") as demo:
        demo.wait_for_text(LAST_LINE)
        demo.wait_for_text("role app: new session", times=2)
        sessions = re.findall(r"role app: new session …(\w+) until .* next refresh in (\S+)", demo.log)
    assert len({access_key_id for access_key_id, _ in sessions}) == len(sessions) >= 2
    assert {wait for _, wait in sessions} <= {"0:00:10", "0:00:09"}


def test_ctrl_c_leaves_nothing_behind(demo):
    """Ctrl-C ends the demo with status 0; nothing listens any more, and its files are gone."""
    urls = re.findall(r"(?:AWS_ENDPOINT_URL_STS|AWS_EC2_METADATA_SERVICE_ENDPOINT)=(\S+)", demo.log)
    addresses = [(urlsplit(url).hostname, urlsplit(url).port) for url in urls]
    assert len(addresses) == 2
    for address in addresses:
        socket.create_connection(address, timeout=5).close()
    assert list(demo.temporary.iterdir())
    demo.signal(signal.SIGINT)
    assert demo.process.wait(PATIENCE) == 0
    for address in addresses:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=5)
    assert list(demo.temporary.iterdir()) == []
