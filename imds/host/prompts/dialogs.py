"""Dialogs of the desktop: zenity, or KDE's kdialog."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from imds.host.prompts import PromptFailedError, UnansweredError
from imds.host.prompts.running import run
from imds.host.prompts.surroundings import DISPLAYS, desktop

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.host.prompts import Question

CANCELLED, TIMED_OUT = 1, 5
"""Exit statuses; zenity has the second."""

IMPORT = "systemctl --user import-environment DISPLAY WAYLAND_DISPLAY XAUTHORITY"
_NO_DISPLAY = re.compile(rb"cannot open display|could not connect to display", re.IGNORECASE)
_MARKUP = re.compile(r"[^\w .,:;/()+=@'-]", re.ASCII)


async def ask_desktop(question: Question, environment: Mapping[str, str]) -> str:
    """Return what was typed into a dialog.

    Raises:
        PromptFailedError: there is no display, or no program for it.
        UnansweredError: it was cancelled, or left alone.
    """
    around = await desktop(environment)
    if not any(around.get(name) for name in DISPLAYS):
        raise PromptFailedError(f"there is no display here: neither {' nor '.join(DISPLAYS)} is set ({IMPORT})")
    arguments = _arguments(question, around)
    status, written, complaints = await run(arguments, around, seconds=question.seconds)
    if status == TIMED_OUT:
        raise UnansweredError("nobody answered")
    if _NO_DISPLAY.search(complaints):
        raise PromptFailedError(f"{arguments[0]} cannot open the display: has its session ended? ({IMPORT})")
    if status == CANCELLED:
        raise UnansweredError("it was cancelled")
    if status != 0:
        raise PromptFailedError(f"{arguments[0]} ended with status {status}")
    return written.decode(errors="replace").rstrip("\n")


def _arguments(question: Question, around: Mapping[str, str]) -> list[str]:
    """Return the command line of the dialog that fits the desktop; what could be markup is taken out of its texts."""
    title, text = _MARKUP.sub(" ", question.title), _MARKUP.sub(" ", question.text)
    programs = ["zenity", "kdialog"]
    if "KDE" in around.get("XDG_CURRENT_DESKTOP", ""):
        programs.reverse()
    found = next((name for name in programs if shutil.which(name, path=around.get("PATH"))), None)
    if found == "zenity":
        # an underscore would underline what follows
        text = text.replace("_", "__")
        seconds = f"--timeout={max(1, round(question.seconds) - 1)}"
        return ["zenity", "--entry", "--hide-text", f"--title={title}", f"--text={text}", seconds]
    if found == "kdialog":
        return ["kdialog", "--title", title, "--password", text]
    raise PromptFailedError(f"there is neither {' nor '.join(programs)}")
