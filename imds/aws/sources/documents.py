"""Credentials in JSON documents, as programs print and services answer them; AWS has many spellings."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from imds.aws.sts import SourceCredentials
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Names(NamedTuple):
    """What one kind of document calls the four parts."""

    access_key_id: str = "AccessKeyId"
    secret_access_key: str = "SecretAccessKey"  # noqa: S105 - a name
    session_token: str = "SessionToken"  # noqa: S105 - likewise
    expiration: str = "Expiration"


PROGRAM = Names()
CONTAINER = Names(session_token="Token")  # noqa: S106 - a name
INSTANCE = Names("access_key", "secret_key", "token", "expiry_time")
ROLES_ANYWHERE = Names("accessKeyId", "secretAccessKey", "sessionToken", "expiration")


def parse_json(text: bytes | str, *, of: str) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        CredentialsError: it is none; the message never repeats it.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(of, "did not give JSON") from error
    if not isinstance(document, dict):
        raise _wrong(of, "did not give a JSON object")
    return document


def read_credentials(document: Mapping[str, Any], names: Names, *, of: str) -> SourceCredentials:
    """Return the credentials in a document.

    Args:
        document: what was given.
        names: how it calls the parts.
        of: who gave it, for messages.

    Raises:
        CredentialsError: it holds none; the message never repeats what it holds.
    """
    texts = {name: document.get(name) for name in names[:3]}
    missing = [name for name in names[:2] if not texts[name]]
    if missing:
        raise _wrong(of, f"gave no {' and no '.join(missing)}")
    if wrong := [name for name, text in texts.items() if text is not None and not isinstance(text, str)]:
        raise _wrong(of, f"gave a {wrong[0]} that is not text")
    return SourceCredentials(
        access_key_id=texts[names.access_key_id] or "",
        secret_access_key=texts[names.secret_access_key] or "",
        session_token=texts[names.session_token] or None,
        expiration=_moment(document.get(names.expiration), of=of),
    )


def _moment(text: object, *, of: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise _wrong(of, "gave an expiration that is not an ISO 8601 time") from error
    if moment.tzinfo is None:
        raise _wrong(of, "gave an expiration without a time zone")
    return moment.astimezone(UTC)


def _wrong(of: str, what: str) -> CredentialsError:
    return CredentialsError("InvalidCredentialsDocument", f"{of} {what}", action=Action.CONFIG)
