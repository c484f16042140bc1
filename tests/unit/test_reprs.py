"""No secret is in any repr, so that none gets into a log by accident."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.fakes import KNOWN_SECRETS, SECRET_ACCESS_KEY, SESSION_TOKEN, START, credentials

from imds.aws.sources import OpenSource
from imds.aws.sts import SourceCredentials
from imds.cli.client_environment import Changes
from imds.core.container_tokens import ContainerTokens
from imds.core.credentials import Credentials
from imds.core.store import RoleState
from imds.core.tokens import SessionTokens

SOURCE = SourceCredentials(
    access_key_id="AKIAEXAMPLE",
    secret_access_key=SECRET_ACCESS_KEY,
    session_token=SESSION_TOKEN,
    expiration=None,
)
TOKENS = ContainerTokens()
TOKEN, OPENS = TOKENS.mint(role="app", instance="default", uid=1000, ttl=timedelta(hours=1), now=START)
KEY = b"neverlogthiskeyofthirtytwobytes!"

HOLDERS = {
    "Credentials": credentials(),
    "RoleState": RoleState(credentials=credentials()),
    "SourceCredentials": SOURCE,
    "OpenSource": OpenSource(credentials=SOURCE, sts=SESSION_TOKEN),
    "Changes": Changes(setting={"AWS_CONTAINER_AUTHORIZATION_TOKEN": OPENS}, removing=("AWS_PROFILE",)),
    "ContainerToken": TOKEN,
    "ContainerTokens": TOKENS,
    "SessionTokens": SessionTokens(KEY),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_no_secret_is_shown(name: str) -> None:
    """Neither ``repr`` nor ``str`` nor a format shows a secret, in a container neither."""
    value = HOLDERS[name]
    shown = f"{value} {value!r} {[value]} { {name: value} }"
    for secret in (*KNOWN_SECRETS, OPENS, KEY.decode()):
        assert secret not in shown


def test_what_is_no_secret_is_shown() -> None:
    """A repr is still of use."""
    made: Credentials = credentials()
    assert made.access_key_id in repr(made)
    assert TOKEN.id in repr(TOKEN)
