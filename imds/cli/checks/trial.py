"""Where no daemon runs: what one would be told, and how its roles would fare, with AWS's own words."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from imds.cli.checks.finding import error
from imds.cli.options import load_config
from imds.core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from imds.cli.checks.finding import Finding
    from imds.config.schema import Config

LONGEST = 15.0
"""Seconds for all roles together; the daemon itself waits ten for the first attempt of each."""


def configuration(config_file: Path | None) -> tuple[Config | None, list[tuple[str, Finding]]]:
    """Return the configuration that a daemon would be given; None and what is wrong with it where it has mistakes."""
    try:
        return load_config(config_file), []
    except ConfigError as mistakes:
        problem = mistakes.problems[0]
        where = f"{problem.file}:{problem.line}" if problem.line else problem.file
        more = f" (and {len(mistakes.problems) - 1} more)" if len(mistakes.problems) > 1 else ""
        what = f"{problem.key}: {problem.message}" if problem.key else problem.message
        found = error(f"imds serve refuses the configuration: {what}{more}", where=where, fix="imds check-config")
        return None, [("wrong-configuration", found)]


def trial(config: Config) -> tuple[list[dict[str, Any]], float | None]:
    """Assume every role once; return how that went, as a status has it, and AWS's clock minus ours (seconds)."""
    return asyncio.run(_trial(config))


async def _trial(config: Config) -> tuple[list[dict[str, Any]], float | None]:
    from imds.aws.environment import never_ask_ourselves  # noqa: PLC0415 - with the daemon
    from imds.config.schema import NO_AUDIT, Listen  # noqa: PLC0415 - likewise
    from imds.daemon import Daemon  # noqa: PLC0415 - aiohttp and botocore are slow to import
    from imds.daemon.status import everything  # noqa: PLC0415 - likewise
    from imds.daemon.surroundings import Surroundings  # noqa: PLC0415 - likewise

    logging.disable()  # what goes wrong is found, and told once
    before = dict(os.environ)
    never_ask_ourselves(os.environ)
    ephemeral = replace(config, listen=(Listen(host="127.0.0.1", port=0),), audit_log=NO_AUDIT)
    aws = {name: value for name, value in before.items() if name.startswith("AWS_")}
    surroundings = Surroundings(environment=aws, state_directory=None, control_socket=None, uid=os.getuid())
    daemon = Daemon(load=lambda: ephemeral, surroundings=surroundings)
    serving = asyncio.create_task(daemon.run())
    ready = asyncio.create_task(daemon.ready.wait())
    await asyncio.wait({serving, ready}, timeout=LONGEST, return_when=asyncio.FIRST_COMPLETED)
    try:
        told = everything(daemon, None, [], [])
    finally:
        daemon.stop()
        ready.cancel()
        await serving
        logging.disable(logging.NOTSET)
        os.environ.clear()
        os.environ.update(before)
    return told["roles"], told["clock_skew_seconds"]
