"""Runs what needs a heavy library in a program of its own: it is gone with its memory, and cannot hold us up."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable

from imds.core.errors import PlaceError

Handler = Callable[[dict[str, str], bytes], bytes]

LONGEST = 10.0
"""Seconds, for a keyring that asks its user for a password meanwhile."""


def run_apart(module: str, request: dict[str, str], content: bytes) -> bytes:
    """Return what a module of this package makes of ``content``; what is secret goes through pipes only; blocks.

    Raises:
        PlaceError: it fails, with its own words, or does not end.
    """
    asked = json.dumps({**request, "content": base64.b64encode(content).decode()})
    command = [sys.executable, "-P", "-m", f"{__package__}.{module}"]
    try:
        done = subprocess.run(  # noqa: S603 - ourselves
            command, input=asked.encode(), capture_output=True, timeout=LONGEST, check=False
        )
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise PlaceError(f"no answer within {LONGEST:.0f} s") from None  # the error would hold what was sent
    except (OSError, ValueError) as error:
        raise PlaceError(f"the program for it ended without an answer ({type(error).__name__})") from None
    if "error" in answer:
        raise PlaceError(str(answer["error"]))
    return base64.b64decode(answer["content"])


def answer_request(answer: Handler) -> None:
    """Be that program: read the request, and print what ``answer`` makes of it, or its ``PlaceError``."""
    request = json.load(sys.stdin)
    content = base64.b64decode(request.pop("content"))
    try:
        made = {"content": base64.b64encode(answer(request, content)).decode()}
    except PlaceError as error:
        made = {"error": str(error)}
    json.dump(made, sys.stdout)
