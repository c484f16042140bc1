"""A daemon with many roles whose sessions all fall due at one moment; a program of its own.

It is the daemon as it is, but all first sessions are renewed at the same time (a schedule of ours) and
with ``--issuer stub``, sessions come at once instead of from STS.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

from imds.aws.environment import never_ask_ourselves
from imds.config import loading
from imds.core.credentials import Credentials
from imds.core.schedule import next_refresh
from imds.daemon import Daemon
from imds.daemon.keepers import Keepers
from imds.daemon.surroundings import Surroundings
from imds.host import logs


class StubIssuer:
    """Gives a session at once."""

    longest = None

    async def issue(self, now: datetime) -> Credentials:
        """Return one that lives an hour."""
        return Credentials(
            access_key_id="ASIAIOSFODNN7EXAMPLE",
            secret_access_key="made-up" * 6,
            session_token="m" * 720,
            last_updated=now.replace(microsecond=0),
            expiration=now.replace(microsecond=0) + timedelta(hours=1),
            account_id="111122223333",
            arn="arn:aws:iam::111122223333:role/app",
        )


async def run(config_file: Path, port: int, due_after: float) -> None:
    """Serve until killed."""
    listen = (loading.parse_listen(f"http://127.0.0.1:{port}"),)

    def load():
        config = loading.load(config_file, variables={"user": "u", "host": "h", "pid": "1"}, uid=os.getuid())
        return replace(config, listen=listen)

    began = datetime.now(UTC)
    due = began + timedelta(seconds=due_after)

    def schedule(credentials, now, random):
        return due if now < due else next_refresh(credentials, now, random)

    surroundings = Surroundings(
        environment=dict(os.environ), state_directory=None, control_socket=None, uid=os.getuid()
    )
    never_ask_ourselves(os.environ)
    daemon = Daemon(load=load, surroundings=surroundings, schedule=schedule)
    keepers, apply = daemon.keepers, daemon.keepers.apply

    def timed_apply(*arguments):
        nonlocal set_up
        applied = perf_counter()
        apply(*arguments)
        set_up = perf_counter() - applied

    set_up = 0.0
    keepers.apply = timed_apply
    running = asyncio.create_task(daemon.run())
    await asyncio.wait([running, ready := asyncio.create_task(daemon.ready.wait())], return_when="FIRST_COMPLETED")
    ready.cancel()
    for role in daemon.config.roles:
        await daemon.store.state(role).tried.wait()
    now = datetime.now(UTC)
    tried = sum(daemon.store.state(role).credentials is not None for role in daemon.config.roles)
    print(json.dumps({"set_up": set_up, "tried": tried, "due_in": (due - now).total_seconds()}), flush=True)
    await running


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--due", type=float, required=True, help="seconds after the start")
    parser.add_argument("--issuer", choices=["stub", "sts"], default="stub")
    arguments = parser.parse_args()
    logs.configure("text", verbose=False, journal=False)
    if arguments.issuer == "stub":
        Keepers._issuer = lambda *_: StubIssuer()  # noqa: SLF001 - instead of an STS that takes most of the time
    asyncio.run(run(arguments.config, arguments.port, arguments.due))


if __name__ == "__main__":
    sys.exit(main())
