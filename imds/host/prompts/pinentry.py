"""pinentry, by its Assuan protocol: lines of text, one answer to each.

Source: GnuPG's manuals of pinentry ("Protocol") and of libassuan ("Assuan Protocol"); the low sixteen bits of an
error's number are libgpg-error's code.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from imds.host.prompts import PromptFailedError, UnansweredError
from imds.host.prompts.running import started
from imds.host.prompts.surroundings import desktop

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Mapping

    from imds.host.prompts import Question

PROGRAM = "pinentry"
TIMEOUT, CANCELED, FULLY_CANCELED = 62, 99, 198
NOBODY = frozenset({TIMEOUT, CANCELED, FULLY_CANCELED})
LONGEST_TEXT = 300
"""A line has a thousand bytes at most, escapes included."""

GRACE = 5.0
"""Seconds beyond the question's own: pinentry is to close its dialog itself."""


async def ask_pinentry(question: Question, environment: Mapping[str, str]) -> str:
    """Return what was typed.

    Raises:
        PromptFailedError: there is no pinentry, or it found neither a display nor a terminal.
        UnansweredError: it was cancelled, or left alone.
    """
    around = await desktop(environment)
    try:
        async with asyncio.timeout(question.seconds + GRACE), started([PROGRAM], around, typed=-1) as program:
            return await _converse(program, question, around)
    except TimeoutError as error:
        raise UnansweredError(f"no answer within {question.seconds:g} s") from error


async def _converse(program: Process, question: Question, around: Mapping[str, str]) -> str:
    await _answer(program)  # its greeting
    for name, value in (("ttyname", around.get("GPG_TTY")), ("ttytype", around.get("TERM"))):
        if value:
            await _tell(program, f"OPTION {name}={_escaped(value)}")
    await _tell(program, f"SETTIMEOUT {question.seconds:.0f}")
    await _tell(program, f"SETTITLE {_escaped(question.title)}")
    await _tell(program, f"SETDESC {_escaped(question.text)}")
    await _tell(program, f"SETPROMPT {_escaped(question.label)}")
    typed, failure = await _ask(program, "GETPIN")
    if failure is None:
        return typed
    number, _, words = failure.partition(" ")
    if number.isdigit() and int(number) & 0xFFFF in NOBODY:
        raise UnansweredError("it was cancelled" if int(number) & 0xFFFF != TIMEOUT else "nobody answered")
    hint = "" if around.get("GPG_TTY") or around.get("DISPLAY") else " (no display, and GPG_TTY names no terminal)"
    raise PromptFailedError(f"{PROGRAM} says: {re.sub(r'[^ -~]', '?', words)[:100]}{hint}")


async def _tell(program: Process, line: str) -> None:
    """Say something that pinentry may refuse: what it does not know changes nothing about the question."""
    await _ask(program, line)


async def _ask(program: Process, line: str) -> tuple[str, str | None]:
    if program.stdin is None:
        raise PromptFailedError(f"{PROGRAM} does not listen")
    program.stdin.write(line.encode() + b"\n")
    return await _answer(program)


async def _answer(program: Process) -> tuple[str, str | None]:
    """Return the data of an answer, and the error that it ends with."""
    data = ""
    while program.stdout is not None:
        try:
            line = (await program.stdout.readline()).decode(errors="replace").rstrip("\r\n")
        except (ValueError, ConnectionError):
            break
        word, _, rest = line.partition(" ")
        if word == "D":
            data += unquote(rest)
        elif word == "OK":
            return data, None
        elif word == "ERR":
            return "", rest
        elif not line:
            break
    raise PromptFailedError(f"{PROGRAM} ended without an answer")


def _escaped(text: str) -> str:
    plain = text[:LONGEST_TEXT]
    return "".join(f"%{ord(char):02X}" if char in "%\r\n" else char for char in plain)
