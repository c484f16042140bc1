"""Daemons that the tests of this tier share, one for each ``http_tokens`` mode."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import wire
from support.answering import CONFIG, start
from support.daemon import DaemonProcess

from imds.core.tokens import SessionTokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.emulators import Moto


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


@pytest.fixture(scope="session", params=["required", "optional"])
def answering(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, moto_server: Moto
) -> Iterator[Answering]:
    """A daemon in each ``http_tokens`` mode."""
    with start(tmp_path_factory.mktemp(request.param), moto_server, CONFIG.format(mode=request.param)) as daemon:
        yield Answering(daemon, request.param)


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory, moto_server: Moto) -> Iterator[dict[str, Answering]]:
    """Both at once, by mode: for tests that go from one to the other."""
    with ExitStack() as stack:
        yield {
            mode: Answering(
                stack.enter_context(start(tmp_path_factory.mktemp(mode), moto_server, CONFIG.format(mode=mode))), mode
            )
            for mode in ("required", "optional")
        }
