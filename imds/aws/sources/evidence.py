"""What an identity provider says of us: a token or an assertion, from a file or a program, read anew each time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imds.aws.files import read_file
from imds.aws.programs import MOST_OUTPUT, run_program
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceReader:
    """Reads ``file``, or what ``command`` prints; one of them."""

    file: Path | None = None
    command: tuple[str, ...] | None = None

    def read(self) -> str:
        """Return the text without white space around it; blocks.

        Raises:
            CredentialsError: there is none (yet).
        """
        content, of = self._content()
        try:
            text = content.decode().strip()
        except UnicodeDecodeError as error:
            raise CredentialsError("InvalidIdentityToken", f"{of} gave no text", action=Action.CONFIG) from error
        if not text:
            raise CredentialsError("NoIdentityToken", f"{of} gave nothing", action=Action.REAUTHENTICATE)
        return text

    def _content(self) -> tuple[bytes, str]:
        if self.command is not None:
            return run_program(self.command), self.command[0]
        if self.file is None:
            raise ValueError("neither a file nor a command")
        try:
            return read_file(self.file, MOST_OUTPUT), str(self.file)
        except FileNotFoundError as error:
            raise CredentialsError(
                "NoIdentityToken", f"{self.file} does not exist (yet)", action=Action.REAUTHENTICATE
            ) from error
