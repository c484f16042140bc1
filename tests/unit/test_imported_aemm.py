"""What configuration files of AEMM are taken to say."""

from __future__ import annotations

import json

import pytest
from support.imported import AEMM, DATA, MACS, check_imported, complaint, expected, imported

from imds.config.imported_metadata.aemm_paths import DYNAMIC_PATHS, METADATA_PATHS
from imds.core.instances import Overlay


def aemm(**sections: object) -> Overlay:
    """Import a file of AEMM."""
    found = imported(sections)
    check_imported(found)
    return found


def values(**metadata: object) -> Overlay:
    """Import metadata that a file of AEMM states; ``_`` in a name stands for ``-``."""
    return aemm(metadata={"values": {name.replace("_", "-"): value for name, value in metadata.items()}})


def test_a_file_with_every_name_of_aemm() -> None:
    """Each name gives its path; what the file moves is where it says, with its own MAC, address and accelerator.

    The identity document keeps nulls and lists, and says what only the metadata says. What has no effect has its note,
    simulated events the command that makes them, and nothing of the file can become part of another command.
    """
    found = imported(AEMM)
    check_imported(found)
    assert set(AEMM["metadata"]["values"]) >= set(METADATA_PATHS)
    assert set(AEMM["dynamic"]["values"]) == set(DYNAMIC_PATHS)
    assert expected(found) == json.loads((DATA / "imported_aemm.json").read_text())


@pytest.mark.parametrize(
    ("sections", "note"),
    [
        ({"spot": {}}, "spot interruptions are simulated at run time: imds simulate spot-interruption"),
        (
            {"spot": {"action": "$(id)"}},
            "spot interruptions are simulated at run time: imds simulate spot-interruption",
        ),
        (
            {"mock-trigger-time": "2026-11-25T10:00:00Z", "mock-delay-sec": 5},
            (
                "mock-delay-sec and mock-trigger-time are not used: imds simulate spot-interruption --at "
                "2026-11-25T10:00:00Z"
            ),
        ),
        (
            {"rebalance-delay-sec": 5},
            "rebalance recommendations are simulated at run time: imds simulate rebalance --in 5s",
        ),
        ({"imdsv2": False}, "imdsv2 is not used: metadata_options: {http_tokens: optional}"),
        ({"server": {"port": 99}}, "server is not used: listen: [http://0.0.0.0:99]"),
        (
            {"userdata": {"paths": {"userdata": "/latest/ud"}, "values": {}}},
            "user data stays at /latest/user-data: EC2 has it nowhere else",
        ),
        (
            {"userdata": {"values": {"other": "x"}}},
            "'other' is not used: AEMM has no such user data",
        ),
    ],
)
def test_a_setting_of_aemm_alone(sections: dict, note: str) -> None:
    """Each is named with what to do here; nothing of the file can become part of a shell command."""
    assert aemm(**sections).notes == (note,)


def test_settings_that_are_aemms_defaults_need_no_note() -> None:
    """A file that AEMM saved has all settings in it, most of them unused."""
    quiet = {
        "asg-termination-delay-sec": 0,
        "asg-termination-trigger-time": "",
        "config-file": "x",
        "mock-delay-sec": 0,
        "mock-ip-count": 2,
        "mock-trigger-time": "",
        "rebalance-delay-sec": 0,
        "rebalance-trigger-time": "",
        "save-config-to-file": True,
        "watch-config-file": False,
    }
    assert aemm(**quiet).notes == ()


def test_a_file_that_aemm_saved() -> None:
    """Keys are in lower case there, and older versions have the user data among the metadata."""
    found = aemm(
        METADATA={"paths": {"userdata": "/latest/user-data"}, "values": {"Instance-ID": "i-1", "userdata": "YQ=="}},
        dynamic={"values": {"instance-identity-document": {"accountid": "111122223333", "pendingtime": None}}},
    )
    assert found.texts == {"meta-data/instance-id": "i-1"}
    assert found.document == {"accountId": "111122223333", "instanceId": "i-1", "pendingTime": None}
    assert (found.user_data, found.notes) == (b"a", ())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        (True, "true"),
        (7, "7"),
        (1.5, "1.5"),
        ([], ""),
        (["a", 1, None], "a\n1\nnull"),
        ([{"a": 1}, {}], '[{"a":1},{}]'),
        ({"ä": [1]}, '{"ä":[1]}'),
    ],
)
def test_values_become_the_text_that_imds_would_answer(value: object, text: str) -> None:
    """Lists have an entry a line; what has a structure is JSON."""
    assert values(ami_id=value).texts == {"meta-data/ami-id": text}


def test_an_interface_without_address_has_the_one_that_aemm_gives_it() -> None:
    """A file that says something of the interface but not its MAC is about AEMM's own."""
    assert values(mac_subnet_id="subnet-1").texts == {
        "meta-data/mac": "0e:49:61:0f:c3:11",
        f"{MACS}/0e:49:61:0f:c3:11/mac": "0e:49:61:0f:c3:11",
        f"{MACS}/0e:49:61:0f:c3:11/subnet-id": "subnet-1",
    }


def test_an_empty_address_is_no_placeholder() -> None:
    """An empty MAC leaves the paths as they are."""
    assert f"{MACS}/0e:49:61:0f:c3:11/subnet-id" in values(mac="", mac_subnet_id="s").texts


def test_an_identity_document_elsewhere_is_a_text_too() -> None:
    """Moved, it is laid out as EC2 lays it out, and its fields count for the real one."""
    paths = {"instance-identity-document": "/latest/dynamic/doc"}
    found = aemm(dynamic={"paths": paths, "values": {"instance-identity-document": {"imageId": "ami-1"}}})
    assert found.texts == {"dynamic/doc": '{\n  "imageId" : "ami-1"\n}'}
    assert found.document == {"imageId": "ami-1"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/latest/meta-data/iam/info", "x"),
        ("/latest/meta-data/identity-credentials/ec2/info", "x"),
        ("/latest/meta-data/spot/instance-action", "x"),
        ("/latest/meta-data/events/maintenance/scheduled", "[]"),
        ("/latest/meta-data/autoscaling", "x"),
        ("/latest/meta-data/ours", {"deep": [{"secretAccessKey": "x"}]}),
        ("/latest/meta-data", "x"),
        ("/latest/meta-data/../api/token", "x"),
        ("/latest/api/token", "x"),
        ("/2021-03-23/meta-data/x", "x"),
        ("", "x"),
        ("/latest/meta-data/" + "a" * 600, "x"),
    ],
)
def test_no_value_stands_where_none_may(path: str, value: object) -> None:
    """Credentials, simulated events and paths beside the tree are left out, with a note."""
    found = aemm(metadata={"paths": {"x": path}, "values": {"x": value}})
    assert (found.texts, len(found.notes)) == ({}, 1)


def test_the_region_is_that_of_the_zone() -> None:
    """A file that moves the instance to another zone need not say the region too."""
    found = values(placement_availability_zone="us-gov-west-1a")
    assert found.texts["meta-data/placement/region"] == found.document["region"] == "us-gov-west-1"
    assert "region" not in values(placement_availability_zone="somewhere").document


@pytest.mark.parametrize(("text", "notes"), [("b\na/", 0), ("c", 1)])
def test_a_text_above_another_is_a_listing(text: str, notes: int) -> None:
    """It is made of what is below; one that says something else has a note."""
    paths = {"up": "/latest/meta-data/x", "a": "/latest/meta-data/x/a/b", "b": "/latest/meta-data/x/b"}
    found = aemm(metadata={"paths": paths, "values": {"up": text, "a": "1", "b": "2"}})
    assert found.texts == {"meta-data/x/a/b": "1", "meta-data/x/b": "2"}
    assert len(found.notes) == notes


def test_an_account_that_is_none() -> None:
    """AEMM's own default has ten digits: it is kept, and said."""
    found = aemm(dynamic={"values": {"instance-identity-document": {"accountId": "0123456789"}}})
    assert found.document == {"accountId": "0123456789"}
    assert found.notes == ("the account '0123456789' does not have twelve digits",)


def test_a_file_of_aemm_has_one_instance() -> None:
    """Another one cannot be meant."""
    content = {"metadata": {"values": {"instance-id": "i-1"}}}
    assert imported(content, instance_id="i-1").texts == {"meta-data/instance-id": "i-1"}
    assert complaint(content, instance_id="i-2") == "has no instance 'i-2'; it has: 'i-1'"
    assert complaint({"metadata": {}}, instance_id="i-2") == "has no instance 'i-2'; it has: one without id"
