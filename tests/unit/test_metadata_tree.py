"""The tree of a virtual instance: what is derived, and how it is listed."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.metadata import LAUNCHED, host, whole

from imds.core.events import LifecycleState, Maintenance, Rebalance, SpotInterruption
from imds.core.paths import IDENTITY_DOCUMENT
from imds.core.simulation import Simulated
from imds.metadata.tree import listings, tree

GOLDEN = """\
ami-id ami-launch-index ami-manifest-path block-device-mapping/ events/ hibernation/ hostname iam/ \
identity-credentials/ instance-action instance-id instance-life-cycle instance-type local-hostname local-ipv4 mac \
metrics/ network/ placement/ profile public-hostname public-ipv4 public-keys/ reservation-id security-groups services/ \
system"""
"""Of an on-demand instance of 2025 with a public address and a key, ``managed-ssh-keys/`` excepted: those are keys of
AWS's with which EC2 Instance Connect lets people in."""


def test_the_listing_of_a_typical_instance_is_ec2s() -> None:
    """The top of the tree has the names that a captured one has, in their order."""
    told = whole({"public-ipv4": "192.0.2.54", "public-keys/0/openssh-key": "ssh-ed25519 AAAA my-key\n"})
    assert tree(told, ["meta-data/iam/info"])["meta-data"].split("\n") == GOLDEN.split()


def test_the_zone_without_its_letter_is_the_region() -> None:
    """Clients find the region by cutting the zone's last letter off."""
    assert whole(region="ap-southeast-2")["meta-data/placement/availability-zone"][:-1] == "ap-southeast-2"


def test_an_instance_is_the_same_at_every_start_and_another_elsewhere() -> None:
    """Ids depend on host and instance alone, have EC2's form, and do not show the host's id."""
    one = whole()
    assert one == whole()
    assert re.fullmatch(r"i-0[0-9a-f]{16}", one["meta-data/instance-id"])
    assert re.fullmatch(r"ami-0[0-9a-f]{16}", one["meta-data/ami-id"])
    ids = {whole(on=host(id=h), name=i)["meta-data/instance-id"] for i in ("a", "b") for h in (b"1", b"2")}
    assert len(ids) == 4


def test_a_host_without_network_has_a_plausible_address() -> None:
    """A private address of EC2's default network, with a MAC of the kind that EC2 gives, in networks around it."""
    told = whole(on=host(interface=None))
    assert re.fullmatch(r"172\.31\.\d{1,3}\.\d{1,3}", told["meta-data/local-ipv4"])
    mac = told["meta-data/mac"]
    assert re.fullmatch(r"0e(:[0-9a-f]{2}){5}", mac)
    assert told[f"meta-data/network/interfaces/macs/{mac}/vpc-ipv4-cidr-block"] == "172.31.0.0/16"


def test_the_addresses_are_the_hosts() -> None:
    """MAC, address and network are those by which the host reaches the world."""
    told = whole()
    below = "meta-data/network/interfaces/macs/02:42:ac:11:00:02"
    assert told["meta-data/mac"] == told[f"{below}/mac"] == "02:42:ac:11:00:02"
    assert told["meta-data/local-ipv4"] == told[f"{below}/local-ipv4s"] == "10.1.2.3"
    assert told[f"{below}/subnet-ipv4-cidr-block"] == "10.1.2.0/24"
    assert told[f"{below}/owner-id"] == "111122223333"
    assert "meta-data/ipv6" not in told


@pytest.mark.parametrize(
    ("machine", "architecture", "kind"),
    [("aarch64", "arm64", "t4g.micro"), ("arm64", "arm64", "t4g.micro"), ("x86_64", "x86_64", "t3.micro")],
)
def test_the_instance_type_fits_the_processor(machine: str, architecture: str, kind: str) -> None:
    """A client that chooses binaries by these gets some that run."""
    told = whole(on=host(machine=machine))
    assert told["meta-data/instance-type"] == kind
    assert json.loads(told[IDENTITY_DOCUMENT])["architecture"] == architecture


def test_the_identity_document_is_laid_out_as_ec2s() -> None:
    """Byte for byte: order, blanks, nulls, and no newline at the end."""
    told = whole()
    assert told[IDENTITY_DOCUMENT] == (
        "{\n"
        '  "accountId" : "111122223333",\n'
        '  "architecture" : "x86_64",\n'
        '  "availabilityZone" : "eu-west-1a",\n'
        '  "billingProducts" : null,\n'
        '  "devpayProductCodes" : null,\n'
        f'  "imageId" : "{told["meta-data/ami-id"]}",\n'
        f'  "instanceId" : "{told["meta-data/instance-id"]}",\n'
        '  "instanceType" : "t3.micro",\n'
        '  "kernelId" : null,\n'
        '  "marketplaceProductCodes" : null,\n'
        '  "pendingTime" : "2030-01-01T12:00:00Z",\n'
        '  "privateIp" : "10.1.2.3",\n'
        '  "ramdiskId" : null,\n'
        '  "region" : "eu-west-1",\n'
        '  "version" : "2017-09-30"\n'
        "}"
    )


def test_without_an_account_nothing_names_one() -> None:
    """No invented account is shown: no identity document, no owner of an interface, no identity credentials."""
    told = whole(account_id=None)
    assert IDENTITY_DOCUMENT not in told
    without_role = whole(account_id=None, role=None, roles=frozenset())
    assert json.loads(without_role[IDENTITY_DOCUMENT])["accountId"] is None  # boto 2 wants one
    assert not any(path.endswith("/owner-id") or "identity-credentials" in path for path in told)


EVERYTHING = Simulated(
    spot_interruption=SpotInterruption(action="terminate", time=LAUNCHED),
    rebalance=Rebalance(notice_time=LAUNCHED),
    maintenance=(
        Maintenance(
            event_id="instance-event-0", code="system-reboot", state="active", description="r", not_before=LAUNCHED
        ),
    ),
    asg_lifecycle=LifecycleState(state="Terminated"),
    tag={"Name": "x"},
)


def children(path: str, paths: set[str]) -> set[str]:
    """Return the names right below ``path``."""
    below = path + "/" if path else ""
    return {other[len(below) :].split("/")[0] for other in paths if other.startswith(below) and other != path}


def check(told: dict[str, str], answering: set[str]) -> None:
    """Check that every listing names exactly its children, and that each of them answers."""
    directories = {path for path in answering if children(path, answering)} | {""}
    assert directories <= set(told)
    for path in directories:
        lines = told[path].split("\n")
        assert len(lines) == len(set(lines))
        assert {line.partition("=")[0].rstrip("/") for line in lines} == children(path, answering)
        for line in lines:
            child = f"{path}/{line.partition('=')[0]}".strip("/")
            assert child in answering
            assert (line.endswith("/") or "=" in line) == (child in directories and path != "")


@pytest.mark.parametrize("named", [(), ("meta-data/iam/info", "meta-data/iam/security-credentials/app")])
@pytest.mark.parametrize("account_id", [None, "111122223333"])
@pytest.mark.parametrize("simulated", [Simulated(), EVERYTHING])
def test_every_listing_names_exactly_its_children(
    named: tuple[str, ...], account_id: str | None, simulated: Simulated
) -> None:
    """A crawler that follows every listing finds an answer everywhere, and finds everything."""
    stated = {
        "public-keys/0/openssh-key": "ssh-ed25519 AAAA one\n",
        "public-keys/1/openssh-key": "ssh-ed25519 BBBB two\n",
        "public-ipv4": "192.0.2.54",
        "network/interfaces/macs/0e:49:61:0f:c3:12/device-number": "1",
    }
    told = tree(whole(stated, account_id=account_id, simulated=simulated), named)
    check(told, {*told, *named})


NAMES = st.text(alphabet="ab-", min_size=1, max_size=2)
PATHS = st.sets(st.lists(NAMES, min_size=1, max_size=4).map("/".join), min_size=1, max_size=8)


@given(PATHS)
def test_listings_of_any_paths(paths: set[str]) -> None:
    """Where no leaf is above another, listings are right for all paths."""
    found = {path for path in paths if not any(other.startswith(path + "/") for other in paths)}
    told = listings(found)
    check(told, found | set(told))
