"""Every mistake in a configuration is told, at its line, under its key; nothing else ever comes out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imds.config import callers, loading, roles, sources
from imds.config.schema import Config
from imds.core.errors import ConfigError, Problem

DATA = Path(__file__).parents[1] / "data"
MISTAKES = [
    *json.loads((DATA / "config_mistakes.json").read_text()),
    *json.loads((DATA / "metadata_mistakes.json").read_text()),
]
SOURCE_MISTAKES = json.loads((DATA / "source_mistakes.json").read_text())
VARIABLES = {"user": "alice", "host": "laptop", "pid": "7"}
ROLES = "roles: {a: {source: {profile: w}}}\n"
LATER = [
    *((f"roles: {{a: {{source: {{profile: w}}, {key}: 1}}}}\n", f"roles.a.{key}") for key in roles.LATER),
]


def problems_of(path: Path) -> list[Problem]:
    """Return what is wrong with a file."""
    with pytest.raises(ConfigError) as caught:
        loading.load(path, variables=VARIABLES, uid=1000)
    assert {problem.file for problem in caught.value.problems} == {str(path)}
    return caught.value.problems


@pytest.mark.parametrize("case", MISTAKES, ids=[case["docs"] for case in MISTAKES])
def test_mistake_is_told_at_its_line(case: dict, tmp_path: Path) -> None:
    """Exactly the mistakes that are there are told, in the file's order."""
    path = tmp_path / "imds.yaml"
    path.write_text(case["config"])
    found = problems_of(path)
    assert [[problem.line, problem.key] for problem in found] == [wanted[:2] for wanted in case["problems"]], found
    for problem, (*_, text) in zip(found, case["problems"], strict=True):
        assert text in problem.message
        assert str(problem).startswith(f"{path}:{problem.line}: " if problem.line else f"{path}: ")


@pytest.mark.parametrize("case", SOURCE_MISTAKES, ids=[case["docs"] for case in SOURCE_MISTAKES])
def test_mistake_of_a_source_is_told(case: dict, tmp_path: Path) -> None:
    """Every mistake of a source is told under its key, and no other role has any."""
    path = tmp_path / "imds.yaml"
    other = "{role_arn: 'arn:aws:iam::111122223333:role/b', source: {profile: w}}"
    path.write_text(f"roles:\n  other: {other}\n  app: {case['role']}\n")
    found = problems_of(path)
    assert [problem.key for problem in found] == [f"roles.app.{key}".rstrip(".") for key, _ in case["problems"]], found
    assert {problem.line for problem in found} == {3}
    for problem, (_, text) in zip(found, case["problems"], strict=True):
        assert text in problem.message


@pytest.mark.parametrize(("text", "key"), LATER, ids=[key for _, key in LATER])
def test_key_of_later_work_is_refused(text: str, key: str, tmp_path: Path) -> None:
    """A documented key that is not served yet is one mistake that says so."""
    path = tmp_path / "imds.yaml"
    path.write_text(text)
    assert [(problem.key, problem.message) for problem in problems_of(path)] == [
        (key, "is not supported yet by this version")
    ]


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"roles: \xff\n", "is not YAML"), (b"roles: \x00\n", "is not YAML"), (b"#" * (1024 * 1024 + 1), "1024 KiB")],
    ids=["not UTF-8", "NUL", "over 1 MiB"],
)
def test_bytes_that_are_no_configuration(content: bytes, text: str, tmp_path: Path) -> None:
    """Bytes that are not a text of a sane size are one mistake."""
    path = tmp_path / "imds.yaml"
    path.write_bytes(content)
    assert [text in problem.message for problem in problems_of(path)] == [True]


def test_file_that_everybody_may_change(tmp_path: Path) -> None:
    """A world-writable file is refused, with the command that mends it."""
    path = tmp_path / "imds.yaml"
    path.write_text(ROLES)
    path.chmod(0o666)
    assert [problem.message for problem in problems_of(path)] == [f"everybody may change it: chmod o-w {path}"]


@pytest.mark.parametrize(
    ("key", "value", "size"),
    [("user_data", "{file: much}", 16 * 1024), ("metadata_from", "much", 64 * 1024 * 1024)],
)
def test_named_file_that_is_too_large(key: str, value: str, size: int, tmp_path: Path) -> None:
    """One byte more than may be is one mistake, that says how much may be."""
    path = tmp_path / "imds.yaml"
    path.write_text(f"{ROLES}instances: {{x: {{role: a, {key}: {value}}}}}\n")
    with (tmp_path / "much").open("wb") as file:
        file.truncate(size + 1)  # takes no room on the disk
    assert [problem.message for problem in problems_of(path)] == [f"{tmp_path}/much is larger than {size // 1024} KiB"]


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_file_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    """A missing file and a directory are mistakes that say why."""
    assert "cannot be read: " in problems_of(tmp_path / name)[0].message


FRAGMENTS = st.sampled_from(
    [
        *loading.KEYS,
        *roles.KEYS,
        *sources.KINDS,
        *callers.KEYS,
        "user",
        "a",
        "\n",
        "\n  ",
        ": ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "&x ",
        "*x",
        "<<",
        "!!int ",
        "!!timestamp ",
        '"\\0"',
        '"\\UFFFFFFFF"',
        "---\n",
        "~x/",
        "'",
        "|\n",
        "1h",
        "?",
    ]
)


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=200) | st.lists(FRAGMENTS, max_size=40).map(lambda parts: "".join(parts).encode()))
def test_any_bytes_are_a_configuration_or_a_config_error(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No bytes lead to any other exception."""
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(content)
    try:
        assert isinstance(loading.load(path, variables=VARIABLES, uid=1000), Config)
    except ConfigError as error:
        assert error.problems  # noqa: PT017 - either outcome is right
