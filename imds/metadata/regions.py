"""What a region's name tells: its partition, its domains, and how its zones are called."""

from __future__ import annotations

import re

_DIRECTIONS = {
    "north": "n",
    "south": "s",
    "east": "e",
    "west": "w",
    "central": "c",
    "northeast": "ne",
    "northwest": "nw",
    "southeast": "se",
    "southwest": "sw",
}
_REGION = re.compile(r"([a-z]{2})-(?:(gov|iso[a-z]?)-)?([a-z]+)-(\d+)")
_PARTITIONS = (
    ("cn-", "aws-cn", "amazonaws.com.cn"),
    ("eusc-", "aws-eusc", "amazonaws.eu"),
    ("us-gov-", "aws-us-gov", "amazonaws.com"),
    ("eu-isoe-", "aws-iso-e", "cloud.adc-e.uk"),
    ("us-isof-", "aws-iso-f", "csp.hci.ic.gov"),
    ("us-isob-", "aws-iso-b", "sc2s.sgov.gov"),
    ("us-iso-", "aws-iso", "c2s.ic.gov"),
    ("", "aws", "amazonaws.com"),
)
_FIRST_REGION = "us-east-1"
"""The only one whose hosts do not have it in their names."""


def partition(region: str) -> str:
    """Return the partition, as in ``aws-cn``."""
    return _partition(region)[1]


def domain(region: str) -> str:
    """Return the partition's domain, as in ``amazonaws.com.cn``."""
    return _partition(region)[2]


def zone_id_prefix(region: str) -> str:
    """Return AWS's short name of a region, as in ``euw1`` for ``eu-west-1``."""
    found = _REGION.fullmatch(region)
    if found is None:
        return region.replace("-", "")
    area, special, direction, number = found.groups()
    middle = {None: "", "gov": "g"}.get(special, (special or "").replace("iso", "i"))
    return f"{area}{middle}{_DIRECTIONS.get(direction, direction[:1])}{number}"


def zone_id(zone: str, region: str) -> str:
    """Return the id of a zone, as in ``euw1-az2`` for ``eu-west-1b``; in an account of AWS's it may be another."""
    letter = zone.removeprefix(region)
    number = ord(letter) - ord("a") + 1 if len(letter) == 1 and "a" <= letter <= "z" else 1
    return f"{zone_id_prefix(region)}-az{number}"


def private_hostname(ipv4: str, region: str) -> str:
    """Return an instance's name by its private address, as in ``ip-10-0-0-1.eu-west-1.compute.internal``."""
    return f"ip-{ipv4.replace('.', '-')}." + (
        "ec2.internal" if region == _FIRST_REGION else f"{region}.compute.internal"
    )


def public_hostname(ipv4: str, region: str) -> str:
    """Return an instance's name by its public address, as in ``ec2-192-0-2-1.eu-west-1.compute.amazonaws.com``."""
    middle = "compute-1" if region == _FIRST_REGION else f"{region}.compute"
    return f"ec2-{ipv4.replace('.', '-')}.{middle}.{domain(region)}"


def _partition(region: str) -> tuple[str, str, str]:
    return next(entry for entry in _PARTITIONS if region.startswith(entry[0]))
