"""The ways to come by an MFA code: a stored seed, a program, a dialog."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from imds.core.errors import PlaceError
from imds.core.totp import code_at, next_code, read_seed
from imds.host import mfa_seeds
from imds.host.prompts import PromptFailedError, Question
from imds.host.prompts.dialogs import ask_desktop
from imds.host.prompts.pinentry import ask_pinentry
from imds.host.prompts.running import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from datetime import datetime

    from imds.aws.mfa import UsedCodes
    from imds.core.asking import Asking
    from imds.core.clock import Clock
    from imds.core.skew import Skew

COMMAND_SECONDS = 30.0
"""A program may wait for a touch of its key."""

DIALOG_SECONDS = 120.0

_DIALOGS = {"pinentry": ask_pinentry, "desktop": ask_desktop}
_PRINTED = re.compile(rb"(?<![0-9])[0-9]{6}(?![0-9])")

Way = tuple[str, "Callable[[], Awaitable[str]]"]
"""Its name, and what asks."""


class Ways:
    """Asks this machine and its user.

    Args:
        environment: the daemon's, for programs and dialogs.
        clock: the machine's.
        skew: AWS's time, which codes are made of.
    """

    def __init__(self, *, environment: Mapping[str, str], clock: Clock, skew: Skew) -> None:
        self._environment = environment
        self._clock = clock
        self._skew = skew

    def without_person(self, device: str, asking: Asking, used: UsedCodes) -> Iterator[Way]:
        """Yield the ways that need nobody at the keyboard; each raises what ``imds.host.prompts`` knows."""
        if asking.seed_in_keyring:
            yield "keyring", partial(self._of_seed, device, used)
        if asking.command is not None:
            yield Path(asking.command[0]).name, partial(self._printed, asking.command)

    async def ask_person(self, name: str, asked: Question) -> str:
        """Return what was typed into a dialog of the kind ``name``, without blanks.

        Raises:
            PromptFailedError: it could not be opened.
            UnansweredError: nobody answered.
        """
        return "".join((await _DIALOGS[name](asked, self._environment)).split())

    async def _of_seed(self, device: str, used: UsedCodes) -> str:
        try:
            text = await asyncio.to_thread(mfa_seeds.read, device)
            seed = read_seed(text) if text is not None else None
        except (PlaceError, ValueError) as error:
            raise PromptFailedError(str(error)) from None
        if seed is None:
            raise PromptFailedError(f"it has no seed: keyring set imds 'mfa-seed {device}'")
        while (code := code_at(seed, self._skew.now())) in used:
            await self._clock.sleep_until(next_code(self._skew.now()) - self._skew.noticed)
        return code

    async def _printed(self, command: tuple[str, ...]) -> str:
        status, printed, _ = await run(command, self._environment, seconds=COMMAND_SECONDS)
        if status != 0:
            raise PromptFailedError(f"ended with status {status}: run it by hand to see why")
        codes = set(_PRINTED.findall(printed))
        if len(codes) != 1:
            raise PromptFailedError(f"printed {'no code' if not codes else 'more than one code'} of six digits")
        return str(codes.pop(), "ascii")


def question(device: str, names: tuple[str, ...], ends: datetime | None, remark: str | None) -> Question:
    """Return what a dialog asks.

    Args:
        device: the code is of.
        names: of the roles that it opens.
        ends: the end of the session that it renews, UTC; None where there is none.
        remark: about what was typed before.
    """
    shown = ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")
    until = f" until {ends.astimezone():%H:%M}" if ends is not None else ""
    text = f"AWS asks for an MFA code of {device} (for {shown}{until})"
    return Question(
        title="imds: MFA code",
        text=f"{remark} {text}" if remark is not None else text,
        label="MFA code:",
        seconds=DIALOG_SECONDS,
    )


MOST_NAMES = 4
