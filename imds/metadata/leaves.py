"""The paths that an instance has by itself (EC2 user guide, "Instance metadata categories")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imds.core.layout import ec2_json
from imds.core.paths import IDENTITY_INFO
from imds.core.timestamps import timestamp
from imds.metadata import interfaces

if TYPE_CHECKING:
    from imds.metadata.facts import Facts

_VHOSTMD = '<?xml version="1.0" encoding="UTF-8"?>'
"""All that EC2 says there; the metrics are no longer available."""


def leaves(facts: Facts) -> dict[str, str]:
    """Return the text of every path that an instance has by itself, the identity document and credentials excepted."""
    first = facts.primary
    found = {
        "dynamic/fws/instance-monitoring": "disabled",
        "meta-data/ami-id": facts.image_id,
        "meta-data/ami-launch-index": "0",
        "meta-data/ami-manifest-path": "(unknown)",
        "meta-data/block-device-mapping/ami": "/dev/xvda",
        "meta-data/block-device-mapping/root": "/dev/xvda",
        "meta-data/events/maintenance/history": "[]",
        "meta-data/events/maintenance/scheduled": "[]",
        "meta-data/hibernation/configured": "false",
        "meta-data/hostname": first.host_name,
        "meta-data/instance-action": "none",
        "meta-data/instance-id": facts.instance_id,
        "meta-data/instance-life-cycle": facts.life_cycle,
        "meta-data/instance-type": facts.instance_type,
        "meta-data/local-hostname": first.host_name,
        "meta-data/local-ipv4": first.local_ipv4s[0],
        "meta-data/mac": first.mac,
        "meta-data/metrics/vhostmd": _VHOSTMD,
        "meta-data/placement/availability-zone": facts.availability_zone,
        "meta-data/placement/availability-zone-id": facts.availability_zone_id,
        "meta-data/placement/region": facts.region,
        "meta-data/profile": "default-hvm",
        "meta-data/reservation-id": facts.reservation_id,
        "meta-data/security-groups": "\n".join(first.security_groups),
        "meta-data/services/domain": facts.domain,
        "meta-data/services/partition": facts.partition,
        "meta-data/system": "nitro",
    }
    if first.ipv6s:
        found["meta-data/ipv6"] = first.ipv6s[0]
    if first.public_ipv4s:
        found["meta-data/public-ipv4"] = first.public_ipv4s[0]
    if first.public_host_name is not None:
        found["meta-data/public-hostname"] = first.public_host_name
    if facts.account_id is not None:
        about = {"Code": "Success", "LastUpdated": timestamp(facts.launched), "AccountId": facts.account_id}
        found[IDENTITY_INFO] = ec2_json(about)
    for interface in facts.interfaces:
        found |= interfaces.leaves(interface, facts.account_id)
    return found
