"""A consistent instance from few facts: region, account and host; everything else follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imds.metadata import regions
from imds.metadata.ids import made_up, made_up_id
from imds.metadata.interfaces import Interface, primary

if TYPE_CHECKING:
    from datetime import datetime

    from imds.core.host import HostInterface

_ARCHITECTURES = {"aarch64": ("arm64", "t4g.micro"), "arm64": ("arm64", "t4g.micro")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the tree is made of.

    Attributes:
        seed: what ids are made from; shown to nobody.
        region: as in ``eu-west-1``.
        availability_zone: the first zone of the region; clients cut its last letter off to find the region.
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


def derive(
    *,
    instance: str,
    host_id: bytes,
    host_interface: HostInterface | None,
    machine: str,
    region: str,
    account_id: str | None,
    launched: datetime,
) -> Facts:
    """Return the facts of ``instance`` on this host: the same at every start, another on another host.

    Args:
        instance: its name in the configuration.
        host_id: something that only this host has; it is hashed, never shown.
        host_interface: whose addresses the instance has; None makes plausible ones up.
        machine: the processor as ``uname -m`` says it.
        region: as in ``eu-west-1``.
        account_id: twelve digits, or None.
        launched: when it started, UTC.
    """
    seed = made_up(host_id, f"imds instance {instance}")
    architecture, instance_type = _ARCHITECTURES.get(machine, ("x86_64", "t3.micro"))
    return Facts(
        seed=seed,
        region=region,
        availability_zone=f"{region}a",
        availability_zone_id=f"{regions.zone_id_prefix(region)}-az1",
        partition=regions.partition(region),
        domain=regions.domain(region),
        account_id=account_id,
        instance_id=made_up_id("i", seed),
        image_id=made_up_id("ami", seed),
        reservation_id=made_up_id("r", seed),
        instance_type=instance_type,
        architecture=architecture,
        life_cycle="on-demand",
        interfaces=(primary(host_interface, seed=seed, region=region),),
        launched=launched,
    )
