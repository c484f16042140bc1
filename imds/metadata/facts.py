"""A consistent instance from few facts: region, account and host; everything else follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imds.metadata import regions
from imds.metadata.ids import made_up, made_up_id
from imds.metadata.interfaces import Interface, primary

if TYPE_CHECKING:
    from datetime import datetime

    from imds.core.host import Host

_ARCHITECTURES = {"aarch64": ("arm64", "t4g.micro"), "arm64": ("arm64", "t4g.micro")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the tree is made of.

    Attributes:
        seed: what ids are made from; shown to nobody.
        region: as in ``eu-west-1``.
        availability_zone: as in ``eu-west-1a``; clients cut its last letter off to find the region.
        availability_zone_id: as in ``euw1-az1``.
        partition: as in ``aws-cn``.
        domain: as in ``amazonaws.com.cn``.
        account_id: twelve digits; None while it is not known.
        instance_id: ``i-`` and 17 hexadecimal digits.
        image_id: likewise, ``ami-``.
        reservation_id: likewise, ``r-``.
        instance_type: one that fits the architecture.
        architecture: ``x86_64`` or ``arm64``.
        life_cycle: ``on-demand``, ``spot`` …
        interfaces: the primary one first.
        launched: when the instance started, UTC.
    """

    seed: bytes
    region: str
    availability_zone: str
    availability_zone_id: str
    partition: str
    domain: str
    account_id: str | None
    instance_id: str
    image_id: str
    reservation_id: str
    instance_type: str
    architecture: str
    life_cycle: str
    interfaces: tuple[Interface, ...]
    launched: datetime

    @property
    def primary(self) -> Interface:
        """The interface that the host names and addresses at the top are of."""
        return self.interfaces[0]


def derive(host: Host, *, instance: str, region: str, availability_zone: str, account_id: str | None) -> Facts:
    """Return the facts of ``instance`` on this host: the same at every start, another on another host.

    Args:
        host: whose addresses the instance has; without an interface plausible ones are made up. Its id is not shown.
        instance: its name in the configuration.
        region: as in ``eu-west-1``.
        availability_zone: as in ``eu-west-1a``.
        account_id: twelve digits, or None.
    """
    seed = made_up(host.id, f"imds instance {instance}")
    architecture, instance_type = _ARCHITECTURES.get(host.machine, ("x86_64", "t3.micro"))
    return Facts(
        seed=seed,
        region=region,
        availability_zone=availability_zone,
        availability_zone_id=regions.zone_id(availability_zone, region),
        partition=regions.partition(region),
        domain=regions.domain(region),
        account_id=account_id,
        instance_id=made_up_id("i", seed),
        image_id=made_up_id("ami", seed),
        reservation_id=made_up_id("r", seed),
        instance_type=instance_type,
        architecture=architecture,
        life_cycle="on-demand",
        interfaces=(primary(host.interface, seed=seed, region=region),),
        launched=host.launched,
    )
