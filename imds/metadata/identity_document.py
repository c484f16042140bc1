"""The instance identity document, laid out as EC2 does: two spaces, `` : ``, alphabetical, nulls present."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imds.core.layout import ec2_json
from imds.core.timestamps import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.metadata.facts import Facts


def identity_document(facts: Facts, stated: Mapping[str, object]) -> str:
    """Return the text of ``dynamic/instance-identity/document``.

    Args:
        facts: what the instance is.
        stated: fields that the operator states; those that are facts have become such already.
    """
    fields = {
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
        "pendingTime": timestamp(facts.launched),
        "privateIp": facts.primary.local_ipv4s[0],
        "ramdiskId": None,
        "region": facts.region,
        "version": "2017-09-30",
    }
    others = {name: value for name, value in stated.items() if fields.get(name) is None}
    return ec2_json(dict(sorted({**fields, **others}.items())))
