"""What the operator says of an instance, laid over what is derived.

An overlay names the paths of the metadata service. Where other paths follow from one (the identity document from
``instance-id``, hostnames from ``local-ipv4``), they follow from the overlay's.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from imds.core.paths import AVAILABILITY_ZONE, INTERFACES, REGION, directories_above, is_below
from imds.core.templates import VARIABLES
from imds.core.timestamps import parse_timestamp
from imds.metadata.interfaces import Interface, at, further

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imds.metadata.facts import Facts

_GRAVITON = re.compile(r"(a1|[a-z]+\d+g[a-z]*)\..*")
"""Instance types with processors of ARM's kind: a ``g`` after the generation."""

_FACTS = {
    "meta-data/ami-id": "image_id",
    "meta-data/instance-id": "instance_id",
    "meta-data/instance-life-cycle": "life_cycle",
    "meta-data/instance-type": "instance_type",
    "meta-data/placement/availability-zone-id": "availability_zone_id",
    AVAILABILITY_ZONE: "availability_zone",
    "meta-data/reservation-id": "reservation_id",
    "meta-data/services/domain": "domain",
    "meta-data/services/partition": "partition",
}
_DOCUMENT_FACTS = {
    "accountId": "account_id",
    "architecture": "architecture",
    "availabilityZone": "availability_zone",
    "imageId": "image_id",
    "instanceId": "instance_id",
    "instanceType": "instance_type",
}


def _lines(text: str) -> tuple[str, ...]:
    return tuple(text.split("\n"))


_PRIMARY: dict[str, tuple[str, Callable[[str], Any]]] = {
    "meta-data/hostname": ("local_hostname", str),
    "meta-data/ipv6": ("ipv6s", _lines),
    "meta-data/local-hostname": ("local_hostname", str),
    "meta-data/local-ipv4": ("local_ipv4s", _lines),
    "meta-data/mac": ("mac", str),
    "meta-data/public-hostname": ("public_hostname", str),
    "meta-data/public-ipv4": ("public_ipv4s", _lines),
    "meta-data/security-groups": ("security_groups", _lines),
}
_INTERFACE: dict[str, tuple[str, Callable[[str], Any]]] = {
    "device-number": ("device_number", int),
    "ipv6s": ("ipv6s", _lines),
    "local-hostname": ("local_hostname", str),
    "local-ipv4s": ("local_ipv4s", _lines),
    "public-hostname": ("public_hostname", str),
    "public-ipv4s": ("public_ipv4s", _lines),
    "security-groups": ("security_groups", _lines),
    "subnet-ipv4-cidr-block": ("subnet_cidr", str),
    "vpc-ipv4-cidr-block": ("vpc_cidr", str),
}


def place(texts: Mapping[str, str | None], document: Mapping[str, object], region: str) -> tuple[str, str]:
    """Return region and availability zone; from either of them the other follows."""
    zone = texts.get(AVAILABILITY_ZONE) or document.get("availabilityZone")
    told = texts.get(REGION) or document.get("region")
    if told is None:
        told = region if zone is None or str(zone).startswith(region) else str(zone)[:-1]
    return str(told), str(zone or f"{told}a")


def variables(facts: Facts, *, instance: str, role: str | None, host: str) -> dict[str, str | None]:
    """Return what ``{names}`` stand for; None for what is not known (yet)."""
    known = {name: getattr(facts, name) for name in VARIABLES if hasattr(facts, name)}
    first = facts.primary
    return {
        **known,
        "instance": instance,
        "role": role,
        "host": host,
        "mac": first.mac,
        "private_ip": first.local_ipv4s[0],
    }


def with_texts(facts: Facts, texts: Mapping[str, str | None], document: Mapping[str, object]) -> Facts:
    """Return the facts with those that an overlay states."""
    stated: dict[str, Any] = {field: texts[path] for path, field in _FACTS.items() if texts.get(path)}
    stated |= {field: str(document[key]) for key, field in _DOCUMENT_FACTS.items() if document.get(key)}
    if "instance_type" in stated and "architecture" not in stated:
        stated["architecture"] = "arm64" if _GRAVITON.fullmatch(str(stated["instance_type"])) else "x86_64"
    first = facts.primary
    if document.get("privateIp"):
        first = at(first, (str(document["privateIp"]),))
    first = _stated(first, {path: texts[path] for path in _PRIMARY if texts.get(path)}, _PRIMARY)
    return replace(
        facts,
        **stated,
        interfaces=_interfaces(first, texts, mac_stated=bool(texts.get("meta-data/mac"))),
        launched=parse_timestamp(str(document["pendingTime"])) if document.get("pendingTime") else facts.launched,
    )


def lay_over(texts: dict[str, str], overlay: Mapping[str, str | None]) -> None:
    """Put an overlay's texts in; None takes a path away, and all below it. What stands in a path's way goes."""
    for path in [path for path in texts if path in overlay or not overlay.keys().isdisjoint(directories_above(path))]:
        del texts[path]
    for path, text in overlay.items():
        if text is not None:
            for above in directories_above(path):
                texts.pop(above, None)
            texts[path] = text


def _interfaces(first: Interface, texts: Mapping[str, str | None], *, mac_stated: bool) -> tuple[Interface, ...]:
    """Return the interfaces: the primary one, and one for each further MAC that the overlay names."""
    told = _by_mac(texts)
    zero = next((mac for mac, about in told.items() if about.get("device-number") == "0"), None)
    if zero is not None and not mac_stated:
        first = replace(first, mac=zero)
    found = [_stated(first, told.pop(first.mac, {}), _INTERFACE)]
    for number, (mac, about) in enumerate(told.items(), start=1):
        found.append(_stated(further(first, mac=mac, number=number), about, _INTERFACE))
    return tuple(found)


def _by_mac(texts: Mapping[str, str | None]) -> dict[str, dict[str, str]]:
    told: dict[str, dict[str, str]] = {}
    for path, text in texts.items():
        if is_below(path, INTERFACES) and path != INTERFACES and text is not None:
            mac, _, name = path.removeprefix(f"{INTERFACES}/").partition("/")
            told.setdefault(mac, {})[name] = text
    return told


def _stated(
    interface: Interface, texts: Mapping[str, str | None], fields: Mapping[str, tuple[str, Callable[[str], Any]]]
) -> Interface:
    stated = {fields[name][0]: fields[name][1](text) for name, text in texts.items() if text and name in fields}
    if "local_ipv4s" in stated:
        interface = at(interface, stated["local_ipv4s"])
    return replace(interface, **stated)
