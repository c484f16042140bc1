"""Daemons that the tests of this tier share, one for each ``http_tokens`` mode."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import wire
from support.daemon import DaemonProcess, write_config, write_profile

from imds.core.tokens import SessionTokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.emulators import Moto

CONFIG = """\
    region: eu-west-1
    listen: ["http://127.0.0.1:0"]
    metadata_options: {{http_tokens: {mode}}}
    roles:
      app:
        role_arn: arn:aws:iam::111122223333:role/app
        source: {{profile: work}}
      "my+role@x=1,a.b_c-d":
        role_arn: arn:aws:iam::444455556666:role/odd
        source: {{role: app}}
      private:
        role_arn: arn:aws:iam::111122223333:role/private
        source: {{profile: work}}
    instances:
      default: {{role: app, roles: ["my+role@x=1,a.b_c-d"]}}
      other: {{role: private, roles: ["my+role@x=1,a.b_c-d"]}}
"""


class Answering:
    """A daemon that answers, and session tokens of every kind for it."""

    def __init__(self, daemon: DaemonProcess, mode: str) -> None:
        self.daemon = daemon
        self.mode = mode
        self.address = daemon.address
        key = (Path(daemon.environment["XDG_STATE_HOME"]) / "imds" / "token.key").read_bytes()
        issuer, foreign, now = SessionTokens(key), SessionTokens(bytes(32)), datetime.now(UTC)
        valid = wire.get_token(self.address)
        self.tokens = {
            "valid": valid,
            "missing": None,
            "garbage": "garbage",
            "empty": "",
            "shortened": valid[:-4],
            "altered": ("B" if valid[20] == "A" else "A").join((valid[:20], valid[21:])),
            "expired": issuer.issue("default", 60, now - timedelta(seconds=61)),
            "other instance": issuer.issue("other", 21600, now),
            "other key": foreign.issue("default", 21600, now),
        }


LOOPS = ("uvloop", "asyncio")


def start(
    home: Path, moto: Moto, text: str, *, prefix: tuple[str, ...] = (), loop: str = LOOPS[0], ready: bool = True
) -> DaemonProcess:
    """Return a daemon with a configuration of its own in a new home; not started yet.

    Args:
        home: made unless it is there.
        moto: its STS.
        text: of the configuration.
        prefix: a command in front.
        loop: ``asyncio`` hides uvloop from it.
        ready: whether to wait until it is.
    """
    environment = {"AWS_ENDPOINT_URL_STS": moto.url}
    if not home.exists() or not (home / ".aws").exists():
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_profile(home)
    if loop == "asyncio":
        hidden = home / "hidden"
        hidden.mkdir(exist_ok=True)
        (hidden / "uvloop.py").write_text("raise ImportError('hidden')\n")
        environment["PYTHONPATH"] = str(hidden)
    config = write_config(home / "imds.yaml", text)
    arguments = ("serve", "-v", "--config", str(config))
    return DaemonProcess(home, *arguments, environment=environment, prefix=prefix, ready=ready)


@pytest.fixture(scope="session", params=["required", "optional"])
def answering(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, moto_server: Moto
) -> Iterator[Answering]:
    """A daemon in each ``http_tokens`` mode."""
    with start(tmp_path_factory.mktemp(request.param), moto_server, CONFIG.format(mode=request.param)) as daemon:
        yield Answering(daemon, request.param)
