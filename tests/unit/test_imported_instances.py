"""What the output of describe-instances is taken to say."""

from __future__ import annotations

import json

import pytest
from support.imported import (
    DATA,
    DESCRIBED,
    MACS,
    RUNNING,
    RUNNING_ID,
    TERMINATED,
    TERMINATED_ID,
    below,
    check_imported,
    complaint,
    expected,
    imported,
)

from imds.core.instances import Overlay


def described(**changes: object) -> Overlay:
    """Import the running instance of the sample, changed."""
    found = imported({**RUNNING, **changes})
    check_imported(found)
    return found


def test_an_instance_of_describe_instances() -> None:
    """Everything that IMDS has is there, by the names that IMDS has for it; what it does not say has a note."""
    found = imported(DESCRIBED, instance_id=RUNNING_ID)
    check_imported(found)
    assert expected(found) == json.loads((DATA / "imported_instance.json").read_text())


def test_user_data_beside_an_instance_is_not_taken() -> None:
    """The output of another command, added by hand, has a note."""
    assert "UserData is not used: write it as user_data: {base64: …}" in described(UserData="x").notes


def test_an_instance_of_few_words() -> None:
    """Empty values say nothing, a local zone has the region around it, and who is not spot is on demand."""
    found = imported(DESCRIBED, instance_id=TERMINATED_ID)
    check_imported(found)
    assert below(found, "meta-data") == {
        "ami-id": "ami-0ccccccccccccccc1",
        "instance-id": TERMINATED_ID,
        "instance-life-cycle": "on-demand",
        "instance-type": "t3.micro",
        "placement/availability-zone": "us-west-2-lax-1a",
        "placement/region": "us-west-2",
        "reservation-id": "r-0ddddddddddddddd1",
    }
    assert found.notes == ()


@pytest.mark.parametrize(
    "content",
    [
        {"Instances": [TERMINATED]},
        TERMINATED,
        [TERMINATED],
        [[TERMINATED]],
        [{"Instances": [TERMINATED]}],
        {"Reservations": [{"Instances": [TERMINATED]}]},
        {"Reservations": [{"Instances": [TERMINATED, TERMINATED]}]},
    ],
    ids=["reservation", "instance", "list", "list of lists", "reservations", "whole", "twice the same"],
)
def test_parts_of_an_output(content: object) -> None:
    """What --query leaves of the output does as well."""
    assert imported(content).texts["meta-data/instance-id"] == TERMINATED_ID


def test_the_account_is_that_of_the_first_interface_where_no_reservation_says_it() -> None:
    """One instance alone does not have its reservation around it."""
    assert described().document["accountId"] == "111122223333"
    assert "meta-data/reservation-id" not in described().texts


def test_devpay_and_spot_of_older_outputs() -> None:
    """Product codes are told apart by their kind, and a spot request alone makes a spot instance."""
    codes = [{"ProductCodeId": "d", "ProductCodeType": "devpay"}, {"ProductCodeId": "x"}, {"ProductCodeType": "devpay"}]
    found = described(ProductCodes=codes, InstanceLifecycle=None)
    assert found.document["devpayProductCodes"] == ["d"]
    assert "marketplaceProductCodes" not in found.document
    assert found.texts["meta-data/product-codes"] == "d\nx"
    assert found.texts["meta-data/instance-life-cycle"] == "spot"


def test_an_interface_without_a_list_of_addresses() -> None:
    """The address of the interface itself counts, and its public one."""
    interface = {
        "MacAddress": "0a:00:00:00:00:01",
        "PrivateIpAddress": "10.0.0.1",
        "Association": {"PublicIp": "1.2.3.4"},
    }
    found = described(NetworkInterfaces=[interface])
    assert below(found, f"{MACS}/0a:00:00:00:00:01") == {
        "ipv4-associations/1.2.3.4": "10.0.0.1",
        "local-ipv4s": "10.0.0.1",
        "mac": "0a:00:00:00:00:01",
        "public-ipv4s": "1.2.3.4",
    }


@pytest.mark.parametrize("key", [".", "..", "_index", "a b", "a/b", "ü", "x" * 129])
def test_tags_that_ec2_cannot_show(key: str) -> None:
    """Such a key is no path of the metadata service."""
    assert not below(described(Tags=[{"Key": key, "Value": "v"}]), "meta-data/tags")


def test_which_instance_is_meant_must_be_clear() -> None:
    """Of several one is named; the ones that are there are listed, with their state."""
    there = f"'{RUNNING_ID}' (running), '{TERMINATED_ID}' (terminated)"
    assert complaint(DESCRIBED) == f"has 2 instances, say which is meant with instance_id: {there}"
    assert complaint(DESCRIBED, instance_id="i-1") == f"has no instance 'i-1'; it has: {there}"
    many = [{"InstanceId": f"i-{number}"} for number in range(30)]
    assert complaint(many).endswith("'i-19' (state unknown), …")
