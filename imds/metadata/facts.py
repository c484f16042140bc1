"""A consistent instance from few facts: region, account and host; everything else follows from them."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

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
    ("us-gov-", "aws-us-gov", "amazonaws.com"),
    ("us-isob-", "aws-iso-b", "sc2s.sgov.gov"),
    ("us-iso-", "aws-iso", "c2s.ic.gov"),
    ("", "aws", "amazonaws.com"),
)
_ARCHITECTURES = {"aarch64": ("arm64", "t4g.micro"), "arm64": ("arm64", "t4g.micro")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the tree is made of.

    Attributes:
        region: as in ``eu-west-1``.
        account_id: twelve digits; None while it is not known.
        instance_id: ``i-`` and 17 hexadecimal digits.
        image_id: likewise, ``ami-``.
        instance_type: one that fits the architecture.
        architecture: ``x86_64`` or ``arm64``.
        private_ip: a private IPv4 address.
        launched: when the instance started, UTC.
    """

    region: str
    account_id: str | None
    instance_id: str
    image_id: str
    instance_type: str
    architecture: str
    private_ip: str
    launched: datetime

    @property
    def availability_zone(self) -> str:
        """The first zone of the region; clients cut its last letter off to find the region."""
        return f"{self.region}a"

    @property
    def availability_zone_id(self) -> str:
        """As in ``euw1-az1``."""
        return f"{zone_id_prefix(self.region)}-az1"

    @property
    def partition(self) -> str:
        """As in ``aws-cn``."""
        return _partition(self.region)[0]

    @property
    def domain(self) -> str:
        """As in ``amazonaws.com.cn``."""
        return _partition(self.region)[1]


def derive(
    *, instance: str, host_id: bytes, machine: str, region: str, account_id: str | None, launched: datetime
) -> Facts:
    """Return the facts of ``instance`` on this host: the same at every start, another on another host.

    Args:
        instance: its name in the configuration.
        host_id: something that only this host has; it is hashed, never shown.
        machine: the processor as ``uname -m`` says it.
        region: as in ``eu-west-1``.
        account_id: twelve digits, or None.
        launched: when it started, UTC.
    """
    seed = hmac.digest(host_id, b"imds instance " + instance.encode(), hashlib.sha256)
    digits = seed.hex()
    architecture, instance_type = _ARCHITECTURES.get(machine, ("x86_64", "t3.micro"))
    return Facts(
        region=region,
        account_id=account_id,
        instance_id=f"i-0{digits[:16]}",
        image_id=f"ami-0{digits[16:32]}",
        instance_type=instance_type,
        architecture=architecture,
        private_ip=f"172.31.{seed[16]}.{4 + seed[17] % 250}",
        launched=launched,
    )


def zone_id_prefix(region: str) -> str:
    """Return AWS's short name of a region, as in ``euw1`` for ``eu-west-1``."""
    found = _REGION.fullmatch(region)
    if found is None:
        return region.replace("-", "")
    area, special, direction, number = found.groups()
    middle = {None: "", "gov": "g"}.get(special, (special or "").replace("iso", "i"))
    return f"{area}{middle}{_DIRECTIONS.get(direction, direction[:1])}{number}"


def _partition(region: str) -> tuple[str, str]:
    for prefix, partition, domain in _PARTITIONS:
        if region.startswith(prefix):
            return partition, domain
    raise AssertionError("the last prefix is empty")
