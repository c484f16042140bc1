"""Files to import metadata from that are of neither kind, wrong or hostile."""

from __future__ import annotations

import copy
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.imported import AEMM, DATA, DESCRIBED, RUNNING, RUNNING_ID, check_imported, complaint, imported

from imds.config.imported_metadata.draft import Draft
from imds.config.imported_metadata.json_values import parse_json

MISTAKES = json.loads((DATA / "import_mistakes.json").read_text())


@pytest.mark.parametrize("case", MISTAKES, ids=[str(number) for number in range(len(MISTAKES))])
def test_mistakes_are_told(case: dict) -> None:
    """A file that is of another kind, or has something of the wrong type, is refused with the place."""
    assert case["message"] in complaint(case["content"])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"metadata": "\ud800"}, "has a character that no text may have"),
        ({"metadata": {"a\x00": 1}}, "has a key that is no text"),
        ({"metadata": float("nan")}, "has a number that is not finite"),
        ({"metadata": -float("inf")}, "has a number that is not finite"),
        ({"metadata": [-(10**18)]}, "has a number beyond any use"),
    ],
)
def test_values_that_cannot_be_served(content: object, text: str) -> None:
    """They are refused wherever they are."""
    assert text in complaint(content)


def test_what_is_nested_deeply() -> None:
    """More than any file of either kind has is refused."""
    deep: object = "x"
    for _ in range(40):
        deep = [deep]
    assert complaint({"metadata": deep}) == "is nested too deeply"


def test_messages_are_harmless_to_a_terminal() -> None:
    """Control characters of a file are never shown as they are, and long texts are cut."""
    told = complaint({"Instances": [{"InstanceId": "\x1b[2J" + "a" * 5000}, {"InstanceId": "b"}]})
    assert told.isprintable()
    assert len(told) < 200
    found = imported({"\x1b[2J": 1, "metadata": {"values": {"\x1b[2J": 1}}})
    check_imported(found)
    assert len(found.notes) == 2


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is not JSON: Expecting value at line 1"),
        (b"\n{", "is not JSON: Expecting property name enclosed in double quotes at line 2"),
        (b"\xff\xff\xff", "is not JSON: its text is neither UTF-8 nor UTF-16"),
        (b"[" * 200_000, "is nested too deeply"),
        (b'{"a": 1, "a": 2}', "'a' stands twice in one object"),
        (b"1e999", "has a number that is not finite"),
        (b"9" * 5000, "has a number beyond any use"),
    ],
)
def test_bytes_that_are_no_json(content: bytes, text: str) -> None:
    """They are refused with a sentence."""
    with pytest.raises(ValueError, match=re.escape(text)):
        parse_json(content)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_encodings_of_json(encoding: str) -> None:
    """A file that PowerShell wrote is read as well."""
    assert parse_json('{"metadata": {}}'.encode(encoding)) == {"metadata": {}}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from(
        ["/latest/meta-data/x", "/latest/dynamic/x/..", "0e:49:61:0f:c3:11", "a/b", "MTIz", "\ud800", ""]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(content: object, at: tuple = ()) -> list[tuple]:
    """Return where the values of a file stand."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [at, *(place for key, value in inner for place in places(value, (*at, key)))]


def changed(content: object, at: tuple, value: object) -> object:
    """Return a file with another value at one place."""
    if not at:
        return value
    content = copy.copy(content)
    content[at[0]] = changed(content[at[0]], at[1:], value)
    return content


@settings(max_examples=300)
@given(data=st.data(), base=st.sampled_from([AEMM, DESCRIBED, RUNNING]), value=VALUES)
def test_any_value_at_any_place_is_imported_or_a_value_error(data: st.DataObject, base: object, value: object) -> None:
    """Nothing else ever comes out, and what is imported is always fit to be served."""
    for at in data.draw(st.lists(st.sampled_from(places(base)), min_size=1, max_size=3)):
        try:
            base = changed(base, at, value)
        except (KeyError, IndexError, TypeError):
            continue  # the place has gone with a value above it
    try:
        check_imported(imported(base, instance_id=data.draw(st.sampled_from([None, RUNNING_ID]))))
    except ValueError as error:
        assert type(error) is ValueError  # noqa: PT017 - either outcome is right
        assert str(error).isprintable()  # noqa: PT017 - likewise


KEYS = st.sampled_from(
    [
        *("metadata", "dynamic", "userdata", "paths", "values", "spot", "events", "server", "mac", "mac-mac", "stray"),
        *("event-id", "instance-identity-document", "pendingTime", "Reservations", "Instances", "InstanceId", "Tags"),
        *("Key", "Value", "NetworkInterfaces", "MacAddress", "Placement", "LaunchTime"),
    ]
)
FILES = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=25
)


@settings(max_examples=300)
@given(FILES)
def test_any_file_is_imported_or_a_value_error(content: object) -> None:
    """Nothing else ever comes out of files made of the words of both kinds."""
    try:
        check_imported(imported(content))
    except ValueError as error:
        assert type(error) is ValueError  # noqa: PT017 - either outcome is right
        assert str(error).isprintable()  # noqa: PT017 - likewise


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:0eE-\\u \n', max_size=60).map(str.encode))
def test_any_bytes_are_json_or_a_value_error(content: bytes) -> None:
    """Nothing else ever comes out of bytes."""
    try:
        parse_json(content)
    except ValueError as error:
        assert type(error) is ValueError  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize("path", ["meta-data/../x", "meta-data/a b", "meta-data//x", "meta-data/", "a\n", "é"])
def test_no_other_path_is_ever_put(path: str) -> None:
    """Whatever a reader lets through, the tree is made of the characters of IMDS."""
    with pytest.raises(ValueError, match="cannot be a path of the metadata service"):
        Draft().put(path, "x")
