"""Source ``{process: {command: […]}}``: a program that prints credentials as ``credential_process`` does.

Format: AWS SDKs and Tools Reference Guide, "Process credential provider".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imds.aws.programs import run_program
from imds.aws.sources.documents import PROGRAM, parse_json, read_credentials
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imds.aws.sts import SourceCredentials


def load_process(command: Sequence[str], timeout: float) -> SourceCredentials:
    """Return what ``command`` prints; blocks for ``timeout`` seconds at most."""
    return read_program_document(run_program(command, timeout=timeout), of=command[0])


def read_program_document(text: bytes, *, of: str) -> SourceCredentials:
    """Return the credentials in a document of ``credential_process``.

    Raises:
        CredentialsError: it holds none.
    """
    document = parse_json(text, of=of)
    if document.get("Version", 1) != 1:
        raise CredentialsError("InvalidCredentialsDocument", f"{of} gave another Version than 1", action=Action.CONFIG)
    return read_credentials(document, PROGRAM, of=of)
