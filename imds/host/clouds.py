"""Which cloud's machine this is, as its firmware says: there 169.254.169.254 is the cloud's own metadata service.

Sources: EC2's guide "Detect whether a host is an EC2 instance" (Nitro: ``board_asset_tag`` is the instance's id; Xen:
``/sys/hypervisor/uuid`` begins with ec2), cloud-init's ``ds-identify`` (the other vendors' strings).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

DMI = Path("/sys/class/dmi/id")
HYPERVISOR = Path("/sys/hypervisor/uuid")

EC2 = "EC2"
VENDORS = {
    "Amazon EC2": EC2,
    "Google": "Google Cloud",
    "Google Compute Engine": "Google Cloud",
    "DigitalOcean": "DigitalOcean",
    "Hetzner": "Hetzner",
    "Alibaba Cloud": "Alibaba Cloud",
    "Scaleway": "Scaleway",
    "UpCloud": "UpCloud",
    "Vultr": "Vultr",
    "OpenStack Foundation": "OpenStack",
}
AZURE_CHASSIS = "7783-7084-3265-9085-8269-3286-77"
ORACLE_CHASSIS = "OracleCloud.com"


def cloud() -> str | None:
    """Return the cloud's name; None for a machine of one's own, as far as it tells."""
    if _read("board_asset_tag").startswith("i-") or _read_file(HYPERVISOR).startswith("ec2"):
        return EC2
    chassis = _read("chassis_asset_tag")
    if chassis in (AZURE_CHASSIS, ORACLE_CHASSIS):
        return "Azure" if chassis == AZURE_CHASSIS else "Oracle Cloud"
    return VENDORS.get(_read("sys_vendor")) or VENDORS.get(_read("product_name"))


def _read(name: str) -> str:
    return _read_file(DMI / name)


def _read_file(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(errors="replace").strip()
    return ""
