"""What a region's name tells."""

from __future__ import annotations

import pytest
from support.metadata import whole

from imds.metadata import regions


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
    assert regions.zone_id_prefix(region) == prefix
    assert whole(region=region)["meta-data/placement/availability-zone-id"] == f"{prefix}-az1"


@pytest.mark.parametrize(
    ("region", "partition", "domain"),
    [
        ("eu-west-1", "aws", "amazonaws.com"),
        ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
        ("eusc-de-east-1", "aws-eusc", "amazonaws.eu"),
        ("us-gov-east-1", "aws-us-gov", "amazonaws.com"),
        ("us-iso-east-1", "aws-iso", "c2s.ic.gov"),
        ("us-isob-east-1", "aws-iso-b", "sc2s.sgov.gov"),
        ("eu-isoe-west-1", "aws-iso-e", "cloud.adc-e.uk"),
        ("us-isof-south-1", "aws-iso-f", "csp.hci.ic.gov"),
        ("moon-1", "aws", "amazonaws.com"),
    ],
)
def test_partitions(region: str, partition: str, domain: str) -> None:
    """Partition and domain follow the region."""
    told = whole(region=region)
    assert told["meta-data/services/partition"] == partition
    assert told["meta-data/services/domain"] == domain


def test_a_region_nobody_knows_still_has_a_zone_id() -> None:
    """An emulator's region does not stop the daemon."""
    assert regions.zone_id_prefix("local") == "local"


@pytest.mark.parametrize(
    ("region", "private", "public"),
    [
        ("us-east-1", "ip-10-1-2-3.ec2.internal", "ec2-192-0-2-54.compute-1.amazonaws.com"),
        ("eu-west-1", "ip-10-1-2-3.eu-west-1.compute.internal", "ec2-192-0-2-54.eu-west-1.compute.amazonaws.com"),
        (
            "cn-north-1",
            "ip-10-1-2-3.cn-north-1.compute.internal",
            "ec2-192-0-2-54.cn-north-1.compute.amazonaws.com.cn",
        ),
    ],
)
def test_hostnames_are_those_of_the_region(region: str, private: str, public: str) -> None:
    """A host is called by its address and region; the oldest region is left out."""
    told = whole({"public-ipv4": "192.0.2.54"}, region=region)
    assert told["meta-data/local-hostname"] == told["meta-data/hostname"] == private
    assert told["meta-data/public-hostname"] == public
