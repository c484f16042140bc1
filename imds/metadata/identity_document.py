"""The instance identity document, laid out as EC2 does: two spaces, `` : ``, alphabetical, nulls present."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imds.metadata.facts import Facts


def identity_document(facts: Facts) -> str:
    """Return the text of ``dynamic/instance-identity/document``."""
    return json.dumps(
        {
            "accountId": facts.account_id,
            "architecture": facts.architecture,
            "availabilityZone": facts.availability_zone,
            "billingProducts": None,
            "devpayProductCodes": None,
            "imageId": facts.image_id,
            "instanceId": facts.instance_id,
            "instanceType": facts.instance_type,
            "kernelId": None,
            "marketplaceProductCodes": None,
            "pendingTime": facts.launched.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "privateIp": facts.private_ip,
            "ramdiskId": None,
            "region": facts.region,
            "version": "2017-09-30",
        },
        indent=2,
        separators=(",", " : "),
    )
