"""Where AEMM serves what its files name, unless they say otherwise (its ``docs/defaults.md`` and default values)."""

from __future__ import annotations

MAC = "0e:49:61:0f:c3:11"
PUBLIC_IPV4 = "192.0.2.54"
ACCELERATOR = "eia-bfa21c7904f64a82a21b9f4540169ce1"
"""What stands in AEMM's paths for the instance's own MAC, public address and accelerator."""

ASSOCIATION_KEY = "mac-ipv4-associations"
ACCELERATOR_KEY = "elastic-inference-accelerator"

_ROOT = "/latest/meta-data"
_SAME_NAME = (
    *("ami-id", "ami-launch-index", "ami-manifest-path", "hostname", "instance-action", "instance-id"),
    *("instance-life-cycle", "instance-type", "kernel-id", "local-hostname", "local-ipv4", "mac", "product-codes"),
    *("public-hostname", "public-ipv4", "ramdisk-id", "reservation-id", "security-groups"),
)
_DIRECTORIES = {
    "block-device-mapping": ("ami", "root", "swap"),
    "placement": ("availability-zone", "availability-zone-id", "group-name", "host-id", "partition-number", "region"),
    "services": ("domain", "partition"),
}
_INTERFACE = (
    *("device-number", "local-hostname", "local-ipv4s", "mac", "owner-id", "public-hostname", "public-ipv4s"),
    *("security-group-ids", "security-groups", "subnet-id", "subnet-ipv4-cidr-block", "subnet-ipv6-cidr-blocks"),
    *("vpc-id", "vpc-ipv4-cidr-block", "vpc-ipv4-cidr-blocks", "vpc-ipv6-cidr-blocks"),
)
_INTERFACE_OTHERWISE = {
    ASSOCIATION_KEY: f"ipv4-associations/{PUBLIC_IPV4}",
    "mac-ipv6-associations": "ipv6s",
    "mac-network-interface-card-index": "network-card-index",
    "mac-network-interface-id": "interface-id",
}
_OTHERWISE = {
    "block-device-mapping-ebs": "block-device-mapping/ebs0",
    "block-device-mapping-ephemeral": "block-device-mapping/ephemeral0",
    "elastic-inference-associations": "elastic-inference/associations",
    ACCELERATOR_KEY: f"elastic-inference/associations/{ACCELERATOR}",
    "public-key": "public-keys/0/openssh-key",
    "tags-instance-name": "tags/instance/Name",
    "tags-instance-test": "tags/instance/Test",
}
METADATA_PATHS = {
    **{key: f"{_ROOT}/{key}" for key in _SAME_NAME},
    **{f"{name}-{key}": f"{_ROOT}/{name}/{key}" for name, keys in _DIRECTORIES.items() for key in keys},
    **{f"mac-{key}": f"{_ROOT}/network/interfaces/macs/{MAC}/{key}" for key in _INTERFACE},
    **{key: f"{_ROOT}/network/interfaces/macs/{MAC}/{path}" for key, path in _INTERFACE_OTHERWISE.items()},
    **{key: f"{_ROOT}/{path}" for key, path in _OTHERWISE.items()},
}
"""The path of each name among ``metadata``, as a client asks for it."""

SIMULATED_PATHS = {
    "events": f"{_ROOT}/events/maintenance/scheduled",
    "rebalance-rec-time": f"{_ROOT}/events/recommendations/rebalance",
    "spot": f"{_ROOT}/spot/instance-action",
    "spot-termination-time": f"{_ROOT}/spot/termination-time",
    "target-lifecycle-state": f"{_ROOT}/autoscaling/target-lifecycle-state",
}
"""Names that have a path but no value: what is there comes from AEMM's commands."""

DYNAMIC_PATHS = {
    "fws-instance-monitoring": "/latest/dynamic/fws/instance-monitoring",
    "instance-identity-document": "/latest/dynamic/instance-identity/document",
    "instance-identity-pkcs": "/latest/dynamic/instance-identity/pkcs7",
    "instance-identity-signature": "/latest/dynamic/instance-identity/signature",
}
"""The path of each name among ``dynamic``."""
