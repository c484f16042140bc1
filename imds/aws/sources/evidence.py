"""What an identity provider says of us: a token or an assertion, from a file or a program, read anew each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imds.aws.programs import MOST_OUTPUT, run_program
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def read_evidence(*, file: Path | None, command: Sequence[str] | None) -> str:
    """Return the text in ``file``, or what ``command`` prints; blocks.

    Raises:
        CredentialsError: there is none. A missing file waits for whoever signs in.
    """
    if command is not None:
        content, of = run_program(command), command[0]
    elif file is not None:
        content, of = _read(file), str(file)
    else:
        raise ValueError("neither a file nor a command")
    try:
        text = content.decode().strip()
    except UnicodeDecodeError as error:
        raise CredentialsError("InvalidIdentityToken", f"{of} gave no text", action=Action.CONFIG) from error
    if not text:
        raise CredentialsError("InvalidIdentityToken", f"{of} gave nothing", action=Action.REAUTHENTICATE)
    return text


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(MOST_OUTPUT + 1)
    except FileNotFoundError as error:
        raise CredentialsError(
            "NoIdentityToken", f"{file} does not exist (yet): sign in", action=Action.REAUTHENTICATE
        ) from error
