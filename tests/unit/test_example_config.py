"""``config.example.yaml`` is accepted and leaves no key out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from imds.config import callers, instances, loading, notify, roles, sources

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
KEYS = {
    *loading.KEYS,
    *loading.CONTAINER_CREDENTIALS,
    *instances.METADATA_OPTIONS,
    *roles.KEYS,
    *sources.KINDS,
    *sources.mfa.KEYS,
    *instances.KEYS,
    *(set(notify.KINDS) - set(notify.BARE)),
    *notify.KEYS,
    *notify.WEBHOOK_KEYS,
    *notify.SNS_KEYS,
    *notify.EVENTBRIDGE_KEYS,
    *callers.KEYS,
    *callers.MATCH_KEYS,
    *callers.CONTAINER_KEYS,
}
LATER = {*roles.LATER}


def load() -> object:
    """Read the example as a daemon does."""
    return loading.load(EXAMPLE, variables={"user": "alice", "host": "laptop", "pid": "7"}, uid=1000)


def test_example_is_accepted() -> None:
    """The example is read without a mistake, and shows several roles and instances."""
    config = load()
    assert list(config.roles)[:3] == ["app", "admin", "audited"]
    assert {role.source.kind for role in config.roles.values()} == {*sources.KINDS}
    assert set(config.instances) == {"default", "legacy", "agent", "container", "nothing"}
    assert len(config.callers) == 11


@pytest.mark.parametrize("key", sorted(KEYS))
def test_example_shows_key(key: str) -> None:
    """Every key that the loaders know stands in the example as a key, not in a comment."""
    active = re.sub(r"(^|\s)#.*", "", EXAMPLE.read_text(), flags=re.MULTILINE)
    assert re.search(rf"(?:^|[\s{{,-]){key}:", active, flags=re.MULTILINE)


def test_example_is_silent_about_what_is_not_supported() -> None:
    """No key of later work is mentioned, not even in a comment."""
    written = set(re.findall(r"([a-z_]+):", EXAMPLE.read_text()))
    assert not written & (LATER - KEYS)
