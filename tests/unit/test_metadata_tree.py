"""The tree of a virtual instance."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imds.metadata.facts import Facts, derive, zone_id_prefix
from imds.metadata.identity_document import identity_document
from imds.metadata.tree import leaves, listings, tree

LAUNCHED = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)


def facts(region: str = "eu-west-1", *, account_id: str | None = "111122223333", machine: str = "x86_64") -> Facts:
    """Return those of a made-up host."""
    return derive(
        instance="default",
        host_id=b"host",
        machine=machine,
        region=region,
        account_id=account_id,
        launched=LAUNCHED,
    )


@pytest.mark.parametrize(
    ("region", "prefix"),
    [
        ("us-east-1", "use1"),
        ("us-west-2", "usw2"),
        ("eu-west-1", "euw1"),
        ("eu-central-1", "euc1"),
        ("eu-central-2", "euc2"),
        ("ap-southeast-2", "apse2"),
        ("ap-northeast-1", "apne1"),
        ("ca-central-1", "cac1"),
        ("sa-east-1", "sae1"),
        ("us-gov-west-1", "usgw1"),
        ("cn-north-1", "cnn1"),
        ("cn-northwest-1", "cnnw1"),
    ],
)
def test_zone_ids_are_those_of_aws(region: str, prefix: str) -> None:
    """The short name of a region is AWS's."""
    assert zone_id_prefix(region) == prefix
    assert facts(region).availability_zone_id == f"{prefix}-az1"


@pytest.mark.parametrize(
    ("region", "partition", "domain"),
    [
        ("eu-west-1", "aws", "amazonaws.com"),
        ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
        ("us-gov-east-1", "aws-us-gov", "amazonaws.com"),
        ("us-iso-east-1", "aws-iso", "c2s.ic.gov"),
        ("us-isob-east-1", "aws-iso-b", "sc2s.sgov.gov"),
        ("moon-1", "aws", "amazonaws.com"),
    ],
)
def test_partitions(region: str, partition: str, domain: str) -> None:
    """Partition and domain follow the region."""
    told = leaves(facts(region))
    assert told["meta-data/services/partition"] == partition
    assert told["meta-data/services/domain"] == domain


def test_a_region_nobody_knows_still_has_a_zone_id() -> None:
    """An emulator's region does not stop the daemon."""
    assert zone_id_prefix("local") == "local"


def test_the_zone_without_its_letter_is_the_region() -> None:
    """Clients find the region by cutting the zone's last letter off."""
    assert facts("ap-southeast-2").availability_zone[:-1] == "ap-southeast-2"


def test_an_instance_is_the_same_at_every_start_and_another_elsewhere() -> None:
    """Ids depend on host and instance alone, have EC2's form, and do not show the host's id."""
    assert facts() == facts()
    one = facts()
    assert re.fullmatch(r"i-0[0-9a-f]{16}", one.instance_id)
    assert re.fullmatch(r"ami-0[0-9a-f]{16}", one.image_id)
    assert re.fullmatch(r"172\.31\.\d{1,3}\.\d{1,3}", one.private_ip)
    given = {"machine": "x86_64", "region": "eu-west-1", "account_id": None, "launched": LAUNCHED}
    ids = {derive(instance=i, host_id=h, **given).instance_id for i in ("a", "b") for h in (b"1", b"2")}
    assert len(ids) == 4


@pytest.mark.parametrize(
    ("machine", "architecture", "kind"),
    [("aarch64", "arm64", "t4g.micro"), ("arm64", "arm64", "t4g.micro"), ("x86_64", "x86_64", "t3.micro")],
)
def test_the_instance_type_fits_the_processor(machine: str, architecture: str, kind: str) -> None:
    """A client that chooses binaries by these gets some that run."""
    assert (facts(machine=machine).architecture, facts(machine=machine).instance_type) == (architecture, kind)


def test_the_identity_document_is_laid_out_as_ec2s() -> None:
    """Byte for byte: order, blanks, nulls, and no newline at the end."""
    told = facts()
    assert identity_document(told) == (
        "{\n"
        '  "accountId" : "111122223333",\n'
        '  "architecture" : "x86_64",\n'
        '  "availabilityZone" : "eu-west-1a",\n'
        '  "billingProducts" : null,\n'
        '  "devpayProductCodes" : null,\n'
        f'  "imageId" : "{told.image_id}",\n'
        f'  "instanceId" : "{told.instance_id}",\n'
        '  "instanceType" : "t3.micro",\n'
        '  "kernelId" : null,\n'
        '  "marketplaceProductCodes" : null,\n'
        '  "pendingTime" : "2030-01-01T12:00:00Z",\n'
        f'  "privateIp" : "{told.private_ip}",\n'
        '  "ramdiskId" : null,\n'
        '  "region" : "eu-west-1",\n'
        '  "version" : "2017-09-30"\n'
        "}"
    )


def test_without_an_account_there_is_no_identity_document() -> None:
    """No invented account is shown, and no listing names what is not there."""
    told = tree(leaves(facts(account_id=None)), "app")
    assert not any("dynamic" in path for path in told)
    assert told[""] == "meta-data"


def test_a_role_appears_in_the_listings_and_goes_with_it() -> None:
    """With a role there is ``iam/``, without one nothing of it."""
    told = tree(leaves(facts()), "app")
    assert told["meta-data/iam"] == "info\nsecurity-credentials-extended/\nsecurity-credentials/"
    assert told["meta-data/iam/security-credentials"] == "app"
    assert not any("iam" in path for path in tree(leaves(facts()), None))


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
        assert {line.rstrip("/") for line in lines} == children(path, answering)
        for line in lines:
            child = f"{path}/{line}".strip("/")
            assert child in answering
            assert line.endswith("/") == (child in directories and path != "")


@pytest.mark.parametrize("role", [None, "app"])
@pytest.mark.parametrize("account_id", [None, "111122223333"])
def test_every_listing_names_exactly_its_children(role: str | None, account_id: str | None) -> None:
    """A crawler that follows every listing finds an answer everywhere, and finds everything."""
    told = tree(leaves(facts(account_id=account_id)), role)
    answering = set(told)
    if role is not None:
        below = "meta-data/iam/"
        answering |= {
            below + name for name in ("info", "security-credentials/app", "security-credentials-extended/app")
        }
    check(told, answering)


NAMES = st.text(alphabet="ab-", min_size=1, max_size=2)
PATHS = st.sets(st.lists(NAMES, min_size=1, max_size=4).map("/".join), min_size=1, max_size=8)


@given(PATHS)
def test_listings_of_any_paths(paths: set[str]) -> None:
    """Where no leaf is above another, listings are right for all paths."""
    found = {path for path in paths if not any(other.startswith(path + "/") for other in paths)}
    told = listings(found)
    check(told, found | set(told))
