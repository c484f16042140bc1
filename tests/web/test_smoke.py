"""A daemon as a process answers."""

import json

from support import wire


def test_role_document(served):
    """The role's document is the session that STS gave."""
    address = served.address
    assert wire.get(address, "/latest/meta-data/iam/security-credentials/").body == b"app"
    document = json.loads(wire.get(address, "/latest/meta-data/iam/security-credentials/app").body)
    assert document["Code"] == "Success"
