"""The digest by which a kept session is known to be still that of its role."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from imds.config import loading
from imds.config.chains import chain, digest
from imds.config.schema import Role
from imds.config.sources import FromProfile, FromRole
from imds.core.roles import RoleSession

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
ENVIRONMENT = {"AWS_PROFILE": "work", "AWS_CONFIG_FILE": "/a", "HOME": "/home/me", "PATH": "/bin"}


def roles(**changes: object) -> dict[str, Role]:
    """Return a chain of two."""
    session = RoleSession(role_arn="arn:aws:iam::111122223333:role/app", role_session_name="me-here")
    hour = timedelta(hours=1)
    return {
        "app": Role(source=FromProfile(profile="work"), session=replace(session, **changes), duration=hour),
        "audited": Role(source=FromRole(role="app"), session=session, duration=hour),
    }


def of(configured: dict[str, Role], region: str | None = "eu-west-1", **environment: str) -> str:
    """Return the digest of the chained role."""
    return digest(chain(configured, "audited"), region, ENVIRONMENT | environment)


@pytest.mark.parametrize(
    "changes",
    [
        {"role_arn": "arn:aws:iam::111122223333:role/other"},
        {"role_session_name": "other"},
        {"external_id": "partner"},
        {"policy": "{}"},
        {"policy_arns": ("arn:aws:iam::aws:policy/ReadOnlyAccess",)},
        {"tags": (("team", "payments"),)},
        {"duration": timedelta(hours=2)},
    ],
)
def test_any_change_of_the_chain_shows(changes: dict[str, object]) -> None:
    """Also one of the role that it comes from."""
    assert of(roles(**changes)) != of(roles())


def test_what_is_around_shows() -> None:
    """Another region, profile, file or endpoint is another configuration; what does not concern AWS is not."""
    usual = of(roles())
    assert of(roles(), None) != usual
    assert of(roles(), AWS_PROFILE="other") != usual
    assert of(roles(), AWS_CONFIG_FILE="/b") != usual
    assert of(roles(), AWS_ENDPOINT_URL_STS="http://127.0.0.1:1") != usual
    assert of(roles(), AWS_WEB_IDENTITY_TOKEN_FILE="/c") != usual
    assert of(roles(), INVOCATION_ID="7", PATH="/usr/bin") == usual


def test_secrets_have_no_say() -> None:
    """Of keys in the environment only the id counts."""
    usual = of(roles())
    assert of(roles(), AWS_SECRET_ACCESS_KEY="x", AWS_SESSION_TOKEN="y", AWS_BEARER_TOKEN_BEDROCK="z") == usual
    assert of(roles(), AWS_ACCESS_KEY_ID="AKIA") != usual


def test_a_further_key_with_its_default_changes_nothing() -> None:
    """What a newer version adds has no say until it is used: an upgrade keeps the sessions."""
    from imds.config import chains  # noqa: PLC0415 - its inside

    session = chains._plain(roles()["app"].session)
    assert set(session) == {"", "role_arn", "role_session_name"}


PROGRAM = """\
import sys
from pathlib import Path
from imds.config import loading
from imds.config.chains import chain, digest
config = loading.load(Path(sys.argv[1]), variables={"user": "alice", "host": "laptop", "pid": "7"}, uid=1000)
for name in config.roles:
    print(name, digest(chain(config.roles, name), config.region, {}))
"""


def test_it_is_the_same_in_every_process() -> None:
    """Every kind of source, read by two processes: the same digests, one for each role."""
    said = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM, EXAMPLE],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1]
    config = loading.load(EXAMPLE, variables={"user": "alice", "host": "laptop", "pid": "7"}, uid=1000)
    lines = said[0].splitlines()
    assert len(lines) == len(config.roles) == len({line.split()[1] for line in lines})
