"""What each key of a configuration means."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from imds.config import loading
from imds.config.schema import Config, Listen
from imds.config.sources import FromProfile, FromRole
from imds.daemon.keepers import chain

ARN = "arn:aws:iam::111122223333:role/a"


def load(tmp_path: Path, text: str) -> Config:
    """Read a configuration."""
    path = tmp_path / "imds.yaml"
    path.write_text(text)
    return loading.load(path, variables={"user": "alice", "host": "laptop", "pid": "7"}, uid=1000)


def role(tmp_path: Path, text: str) -> object:
    """Read a role with one more key."""
    return load(tmp_path, f"roles:\n  a:\n    role_arn: {ARN}\n    source: {{profile: w}}\n    {text}\n").roles["a"]


@pytest.mark.parametrize(
    ("text", "attribute", "value"),
    [
        ("external_id: 00123", "external_id", "00123"),
        ("external_id: 1e3", "external_id", "1e3"),
        ("external_id: yes", "external_id", "yes"),
        ("role_session_name: '{user}-{host}-{role}-{pid}'", "role_session_name", "alice-laptop-a-7"),
        ("source_identity: '{user}'", "source_identity", "alice"),
        ("policy_arns: [arn:aws:iam::aws:policy/X]", "policy_arns", ("arn:aws:iam::aws:policy/X",)),
        ("tags: {team: 007}", "tags", (("team", "007"),)),
        ("tags: {team: x}\n    transitive_tags: [team]", "transitive_tags", ("team",)),
        ("duration: 1h30m", "duration", timedelta(minutes=90)),
        ("duration: 900", "duration", timedelta(minutes=15)),
        ("duration: 12h", "duration", timedelta(hours=12)),
    ],
)
def test_key_of_an_assumed_role(text: str, attribute: str, value: object, tmp_path: Path) -> None:
    """A key reaches the AssumeRole request as it was written."""
    assert getattr(role(tmp_path, text).session, attribute) == value


def test_policy_is_compact_json(tmp_path: Path) -> None:
    """A policy keeps its numbers, truth values and aliases, and becomes JSON without blanks."""
    read = role(tmp_path, "policy: {Version: '2012-10-17', Statement: [&s {Effect: Allow, N: 1, B: true}, *s]}")
    statement = {"Effect": "Allow", "N": 1, "B": True}
    expected = {"Version": "2012-10-17", "Statement": [statement, statement]}
    assert read.session.policy == json.dumps(expected, separators=(",", ":"))


def test_sources(tmp_path: Path) -> None:
    """A role comes from a profile or another role; without a role_arn there is no AssumeRole."""
    config = load(
        tmp_path, f"roles: {{me: {{source: {{profile: w}}}}, b: {{role_arn: '{ARN}', source: {{role: me}}}}}}"
    )
    assert (config.roles["me"].source, config.roles["me"].session) == (FromProfile(profile="w"), None)
    assert config.roles["b"].source == FromRole(role="me")


def test_top_level(tmp_path: Path) -> None:
    """Everything beside the roles has its place."""
    config = load(
        tmp_path,
        "roles: {a: {source: {profile: w}}, b: {source: {profile: w}}}\nregion: us-gov-west-1\n"
        "listen: ['http://[::1]:9254', http://localhost:1]\nallowed_hosts: [Imds.Internal]\ncontrol_socket: /run/x\n"
        "metadata_options: {http_tokens: optional, http_put_response_hop_limit: 2}\n"
        "instances: {x: {role: b, roles: [a], metadata_options: {http_tokens: required}}, none: {role: null}}\n"
        "callers: [{match: {user: '@daemon'}, instance: x}, {match: {user: 'b-*'}, refuse: no}]\n",
    )
    assert (config.region, config.control_socket) == ("us-gov-west-1", Path("/run/x"))
    assert config.instances["default"].hop_limit == 2
    assert config.listen == (Listen(host="::1", port=9254), Listen(host="127.0.0.1", port=1))
    assert config.allowed_hosts == {"imds.internal"}
    default, x, none = (config.instances[name] for name in ("default", "x", "none"))
    assert (default.role, default.roles, default.token_required) == ("a", {"a", "b"}, False)
    assert (x.role, x.roles, x.token_required) == ("b", {"a", "b"}, True)
    assert (none.role, none.roles) == (None, frozenset())
    assert [(rule.match.users, rule.instance, rule.refuse) for rule in config.callers] == [
        ((1000,), "x", None),
        (("b-*",), None, "no"),
    ]


def test_defaults(tmp_path: Path) -> None:
    """Roles alone are enough: IMDSv2 only, hop limit 1, the usual addresses, the daemon's own user."""
    config = load(tmp_path, "roles: {a: {source: {profile: w}}}")
    assert (config.listen, config.region) == (loading.DEFAULT_LISTEN, None)
    assert config.instances["default"].hop_limit == 1
    assert config.instances["default"].token_required
    assert [rule.match.users for rule in config.callers] == [(1000,)]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("", None),
        ("persist_sessions: none\n", ("none",)),
        ("persist_sessions: file\n", ("file",)),
        ("persist_sessions: [fd_store, os_keyring, file, none]\n", ("fd_store", "os_keyring", "file", "none")),
    ],
)
def test_places_for_sessions(text: str, places: tuple[str, ...] | None, tmp_path: Path) -> None:
    """One word or a list, in its order; the default is decided where systemd can be seen."""
    assert load(tmp_path, "roles: {a: {source: {profile: w}}}\n" + text).persist_sessions == places


def test_metadata_lies_over_what_is_imported(tmp_path: Path) -> None:
    """Of two texts, one below the other, the one in ``metadata`` is kept."""
    imported = {"InstanceId": "i-1", "ImageId": "ami-1", "Placement": {"GroupName": "g", "HostId": "h-1"}}
    (tmp_path / "web.json").write_text(json.dumps(imported))
    config = load(
        tmp_path,
        "roles: {a: {source: {profile: w}}}\ninstances: {default: {role: a, metadata_from: web.json, metadata: "
        "{ami-id/odd: x, placement: null, instance-life-cycle: spot}}}\n",
    )
    assert config.instances["default"].overlay.texts == {
        "meta-data/ami-id/odd": "x",
        "meta-data/instance-id": "i-1",
        "meta-data/instance-life-cycle": "spot",
        "meta-data/placement": None,
    }


def test_changed_parent_changes_the_chain_of_its_child(tmp_path: Path) -> None:
    """A reload compares whole chains: a parent's change restarts its child, and no other role."""
    text = "roles:\n  p: {{source: {{profile: {}}}}}\n  c: {{role_arn: '" + ARN + "', source: {{role: p}}}}\n"
    text += "  other: {{source: {{profile: w}}}}\n"
    old, new = load(tmp_path, text.format("w")).roles, load(tmp_path, text.format("x")).roles
    assert [chain(old, name) == chain(new, name) for name in ("p", "c", "other")] == [False, False, True]
