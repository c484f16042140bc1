"""ec2-metadata: every property that it has."""

import json
from functools import cached_property

from ec2_metadata import NetworkInterface, PublicKey, SpotInstanceAction, ec2_metadata


def properties(thing: object) -> dict[str, object]:
    """Return all properties by name."""
    kinds = (property, cached_property)
    return {name: getattr(thing, name) for name, kind in vars(type(thing)).items() if isinstance(kind, kinds)}


def plain(thing: object) -> object:
    """Return something that JSON has."""
    if isinstance(thing, NetworkInterface | PublicKey | SpotInstanceAction):
        return properties(thing)
    return thing.decode() if isinstance(thing, bytes) else dict(thing)


print(json.dumps(properties(ec2_metadata), default=plain))
