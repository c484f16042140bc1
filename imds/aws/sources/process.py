"""Source ``{process: {command: […]}}``: a program that prints credentials as ``credential_process`` does.

Format: AWS SDKs and Tools Reference Guide, "Process credential provider".
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imds.aws.programs import run_program
from imds.aws.sts import SourceCredentials
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Sequence


def load_process(command: Sequence[str], timeout: float) -> SourceCredentials:
    """Return what ``command`` prints; blocks for ``timeout`` seconds at most."""
    return parse_credentials(run_program(command, timeout=timeout), of=command[0])


def parse_credentials(printed: bytes, *, of: str) -> SourceCredentials:
    """Return the credentials in a JSON document with AWS's names.

    Raises:
        CredentialsError: it holds none; the text never repeats what it holds.
    """
    try:
        document: Any = json.loads(printed)
    except ValueError as error:
        raise _wrong(of, "did not give JSON") from error
    if not isinstance(document, dict):
        raise _wrong(of, "did not give a JSON object")
    if document.get("Version", 1) != 1:
        raise _wrong(of, "gave another Version than 1")
    texts = {name: document.get(name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")}
    missing = [name for name in ("AccessKeyId", "SecretAccessKey") if not texts[name]]
    if missing or any(value is not None and not isinstance(value, str) for value in texts.values()):
        raise _wrong(of, f"gave no {' and no '.join(missing)}" if missing else "gave a key that is not text")
    return SourceCredentials(
        access_key_id=str(texts["AccessKeyId"]),
        secret_access_key=str(texts["SecretAccessKey"]),
        session_token=texts["SessionToken"] or None,
        expiration=_moment(document.get("Expiration"), of=of),
    )


def _moment(text: object, *, of: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise _wrong(of, "gave an Expiration that is not an ISO 8601 time") from error
    if moment.tzinfo is None:
        raise _wrong(of, "gave an Expiration without a time zone")
    return moment.astimezone(UTC)


def _wrong(of: str, what: str) -> CredentialsError:
    return CredentialsError("InvalidCredentialsDocument", f"{of} {what}", action=Action.CONFIG)
