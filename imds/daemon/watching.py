"""Reads the configuration again when a file of it changes (``reload_on_change``)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from imds.aws.patience import Watched
from imds.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from imds.config.schema import Config

logger = logging.getLogger(__name__)

LOOK_EVERY = 2.0
"""Seconds; a change counts once it has stayed for as long, so that no half-written file is read."""


async def reload_on_change(config: Callable[[], Config], reload: Callable[[], Awaitable[object]]) -> None:
    """Watch the files of the configuration in force, for ever."""
    known = await _look(config())
    while True:
        await asyncio.sleep(LOOK_EVERY)
        seen = await _look(config())
        if seen == known:
            continue
        await asyncio.sleep(LOOK_EVERY)
        if await _look(config()) != seen:
            continue  # somebody is still writing
        known = seen
        with contextlib.suppress(ConfigError):  # told by who reads it; the old configuration stays
            await reload()
            known = await _look(config())  # it may name other files


async def _look(config: Config) -> object:
    files = [Path(name) for instance in config.instances.values() for name in instance.overlay.files]
    return await Watched((*files, *((config.path,) if config.path is not None else ()))).look()
