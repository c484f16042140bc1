"""What the operator states of an instance, and what follows from it."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.metadata import whole

from imds.core.paths import IDENTITY_DOCUMENT
from imds.core.templates import expand, verbatim
from imds.metadata.overlay import lay_over

BELOW = "meta-data/network/interfaces/macs"


def document(told: dict[str, str]) -> dict[str, object]:
    """Return the identity document."""
    read: dict[str, object] = json.loads(told[IDENTITY_DOCUMENT])
    return read


@pytest.mark.parametrize(
    ("path", "text", "field"),
    [
        ("instance-id", "i-1", "instanceId"),
        ("ami-id", "ami-1", "imageId"),
        ("instance-type", "m5.large", "instanceType"),
        ("local-ipv4", "10.9.9.9", "privateIp"),
        ("placement/availability-zone", "eu-west-1c", "availabilityZone"),
        ("placement/region", "eu-west-2", "region"),
    ],
)
def test_the_identity_document_follows_the_overlay(path: str, text: str, field: str) -> None:
    """What a path says, the document says too."""
    told = whole({path: text})
    assert told[f"meta-data/{path}"] == document(told)[field] == text


def test_the_paths_follow_the_identity_document() -> None:
    """What is stated of the document, the paths say too."""
    stated = {
        "accountId": "999988887777",
        "availabilityZone": "us-west-2b",
        "instanceId": "i-1",
        "privateIp": "192.168.7.7",
        "pendingTime": "2020-02-02T02:02:02Z",
        "kernelId": "aki-1",
        "billingProducts": ["bp-1"],
    }
    told = whole(document=stated)
    assert {field: document(told)[field] for field in stated} == stated
    assert told["meta-data/placement/region"] == "us-west-2"
    assert told["meta-data/placement/availability-zone-id"] == "usw2-az2"
    assert told["meta-data/local-hostname"] == "ip-192-168-7-7.us-west-2.compute.internal"
    assert told[f"{BELOW}/02:42:ac:11:00:02/owner-id"] == "999988887777"
    assert told[f"{BELOW}/02:42:ac:11:00:02/subnet-ipv4-cidr-block"] == "192.168.0.0/20"
    assert json.loads(told["meta-data/identity-credentials/ec2/info"])["AccountId"] == "999988887777"


@pytest.mark.parametrize(
    ("kind", "architecture"),
    [
        ("m7g.large", "arm64"),
        ("c7gn.large", "arm64"),
        ("is4gen.large", "arm64"),
        ("a1.large", "arm64"),
        ("g5.xlarge", "x86_64"),
        ("p4d.24xlarge", "x86_64"),
    ],
)
def test_the_processor_follows_the_instance_type(kind: str, architecture: str) -> None:
    """A ``g`` after the generation is Graviton; the family of that name is not."""
    assert document(whole({"instance-type": kind}))["architecture"] == architecture


def test_a_region_stays_where_a_local_zone_is_stated() -> None:
    """The zone of another place of the same region is no other region."""
    told = whole({"placement/availability-zone": "us-west-2-lax-1a"}, region="us-west-2")
    assert told["meta-data/placement/region"] == "us-west-2"


def test_another_mac_moves_the_primary_interface() -> None:
    """The interface is listed by the MAC that is stated, and by no other."""
    told = whole({"mac": "0e:00:00:00:00:01"})
    macs = {path.split("/")[4] for path in told if path.startswith(BELOW)}
    assert macs == {"0e:00:00:00:00:01"}


def test_the_interface_with_device_number_0_is_the_primary_one() -> None:
    """Interfaces that are all stated leave none of the host's."""
    told = whole(
        {
            "network/interfaces/macs/0e:00:00:00:00:01/device-number": "1",
            "network/interfaces/macs/0e:00:00:00:00:02/device-number": "0",
            "network/interfaces/macs/0e:00:00:00:00:02/local-ipv4s": "10.8.0.4\n10.8.0.5",
        }
    )
    assert {path.split("/")[4] for path in told if path.startswith(BELOW)} == {"0e:00:00:00:00:01", "0e:00:00:00:00:02"}
    assert told["meta-data/mac"] == "0e:00:00:00:00:02"
    assert told["meta-data/local-ipv4"] == "10.8.0.4"


def test_a_further_interface_needs_no_more_than_its_mac() -> None:
    """All that clients ask of it is derived: ids of its own, the same network, account and groups."""
    mac = "0e:49:61:0f:c3:12"
    told = whole({f"network/interfaces/macs/{mac}/device-number": "1"})
    first, second = (
        {path.rpartition("/")[2]: text for path, text in told.items() if path.startswith(f"{BELOW}/{one}/")}
        for one in ("02:42:ac:11:00:02", mac)
    )
    assert first.keys() == second.keys()
    same = {name for name in first if first[name] == second[name]}
    assert same == first.keys() - {"device-number", "interface-id", "local-hostname", "local-ipv4s", "mac"}
    assert second["local-ipv4s"].startswith("10.1.2.")


def test_an_address_elsewhere_brings_its_network() -> None:
    """A stated address is never outside its own subnet."""
    told = whole({"network/interfaces/macs/0e:49:61:0f:c3:12/local-ipv4s": "172.20.33.4"})
    assert told[f"{BELOW}/0e:49:61:0f:c3:12/subnet-ipv4-cidr-block"] == "172.20.32.0/20"
    assert told[f"{BELOW}/0e:49:61:0f:c3:12/vpc-ipv4-cidr-block"] == "172.20.0.0/16"


@pytest.mark.parametrize("network", ["255.255.255.252/30", "255.255.255.255/32", "10.0.0.0/31", "0.0.0.0/0"])
def test_a_further_interface_is_in_the_network_of_the_first(network: str) -> None:
    """However small the stated network is, or wherever it ends."""
    mac = "0e:49:61:0f:c3:12"
    told = whole(
        {
            "network/interfaces/macs/02:42:ac:11:00:02/subnet-ipv4-cidr-block": network,
            f"network/interfaces/macs/{mac}/device-number": "1",
        }
    )
    assert told[f"{BELOW}/{mac}/subnet-ipv4-cidr-block"] == network
    assert IPv4Address(told[f"{BELOW}/{mac}/local-ipv4s"]) in IPv4Network(network)


def test_what_is_stated_wins_wherever_it_stands() -> None:
    """A text above and one taken away below it, a text below and its directory taken away: the order is nothing."""
    told = {"a": "1", "b/c": "2", "b/d/e": "3", "f": "4"}
    lay_over(told, {"a/x": "5", "b/d": None, "f": None, "g": None})
    assert told == {"a/x": "5", "b/c": "2"}


def test_a_public_address_brings_name_and_association() -> None:
    """What clients ask of a public address is there with it."""
    told = whole({"public-ipv4": "192.0.2.54"})
    below = f"{BELOW}/02:42:ac:11:00:02"
    assert told[f"{below}/public-ipv4s"] == "192.0.2.54"
    assert told[f"{below}/ipv4-associations/192.0.2.54"] == "10.1.2.3"
    assert told["meta-data/public-hostname"] == told[f"{below}/public-hostname"]


def test_null_takes_a_path_away_and_all_below_it() -> None:
    """What the operator does not want is not there."""
    told = whole({"metrics": None, "hibernation/configured": None, "network": None})
    assert not any(path.startswith(("meta-data/metrics", "meta-data/hib", "meta-data/network")) for path in told)


def test_a_stated_text_replaces_what_stands_in_its_way() -> None:
    """A path is a value or a directory, never both."""
    told = whole({"events": "none", "instance-id/odd": "x"})
    assert told["meta-data/events"] == "none"
    assert not any(path.startswith("meta-data/events/") for path in told)
    assert told["meta-data/instance-id/odd"] == "x"
    assert "meta-data/instance-id" not in told


def test_tags_are_shown_only_where_they_may_be() -> None:
    """``instance_metadata_tags: disabled`` leaves them out, as on EC2."""
    stated = {"tags/instance/Name": "laptop"}
    assert whole(stated)["meta-data/tags/instance/Name"] == "laptop"
    assert not any("tags" in path for path in whole(stated, tags_shown=False))


def test_variables_stand_for_the_instance() -> None:
    """Texts may name what is known of the instance, stated values included."""
    told = whole(
        {
            "instance-id": "i-1",
            "hostname": "{instance}-{instance_id}.{region}.example.com",
            "tags/instance/Role": "{role} in {account_id} on {host} at {private_ip} ({{region}})",
            "spot/instance-action": '{"action":"stop"}',
        }
    )
    assert told["meta-data/hostname"] == told["meta-data/local-hostname"] == "default-i-1.eu-west-1.example.com"
    assert told["meta-data/tags/instance/Role"] == "app in 111122223333 on laptop at 10.1.2.3 ({region})"
    assert told["meta-data/spot/instance-action"] == '{"action":"stop"}'


def test_a_text_whose_variable_is_not_known_yet_is_left_out() -> None:
    """Nothing half-filled is served while the account is not known."""
    stated = {"tags/instance/Account": "{account_id}"}
    assert not any("tags" in path for path in whole(stated, account_id=None))


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{region}", "eu-west-1"),
        ("{{region}}", "{region}"),
        ("{{{region}}}", "{{region}}"),
        ("{region} {{x}}", "eu-west-1 {x}"),
        ('{"a":{}}', '{"a":{}}'),
        ("{Region}", "{Region}"),
        ("{role}", None),
    ],
)
def test_what_is_a_variable(text: str, filled: str | None) -> None:
    """Braces without a variable stay as they are, JSON above all."""
    assert expand(text, {"region": "eu-west-1", "role": None}) == filled


@given(st.lists(st.sampled_from(["{", "}", "region", "a", "_"]), max_size=12).map("".join))
def test_imported_text_stays_as_it_is(text: str) -> None:
    """A file of another program means no variables, whatever its braces look like."""
    assert expand(verbatim(text), {}) == text
