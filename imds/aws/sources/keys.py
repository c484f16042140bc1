"""Source ``{keys: …}``: keys in the daemon's environment or in a file, read again when the file changes.

A file is either the JSON of ``credential_process`` or lines ``aws_access_key_id = …`` as in ``~/.aws/credentials``.
"""

from __future__ import annotations

import configparser
from typing import TYPE_CHECKING

from imds.aws.files import read_file
from imds.aws.sources.process import read_program_document
from imds.aws.sts import SourceCredentials
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MOST_BYTES = 64 * 1024
NAMES = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


def load_environment_keys(environment: Mapping[str, str]) -> SourceCredentials:
    """Return ``AWS_ACCESS_KEY_ID`` and its companions."""
    values = {name: environment.get(name.upper(), "") for name in NAMES}
    return _from_values(values, of="the daemon's environment (in capitals)")


def load_key_file(path: Path) -> SourceCredentials:
    """Return the keys in ``path``; blocks for the file only."""
    content = read_file(path, MOST_BYTES)
    if content.lstrip().startswith(b"{"):
        return read_program_document(content, of=str(path))
    parser = configparser.RawConfigParser(strict=False, default_section="\0")
    try:
        text = content.decode()
        parser.read_string(text if text.lstrip().startswith("[") else f"[default]\n{text}")
    except (configparser.Error, UnicodeDecodeError):
        # not "from": a parser's error repeats the line, which may be a secret
        raise CredentialsError(
            "InvalidKeys", f"{path} is neither JSON nor lines as in ~/.aws/credentials", action=Action.CONFIG
        ) from None
    section = "default" if parser.has_section("default") else next(iter(parser.sections()), "default")
    values = dict(parser[section]) if parser.has_section(section) else {}
    return _from_values(values, of=str(path))


def _from_values(values: Mapping[str, str], *, of: str) -> SourceCredentials:
    key_id, secret, token = (values.get(name, "").strip() for name in NAMES)
    if missing := [name for name, value in zip(NAMES, (key_id, secret), strict=False) if not value]:
        raise CredentialsError("NoCredentials", f"{of} has no {' and no '.join(missing)}", action=Action.CONFIG)
    return SourceCredentials(
        access_key_id=key_id, secret_access_key=secret, session_token=token or None, expiration=None
    )
