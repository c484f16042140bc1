"""What the texts of the metadata may be, where other paths are made of them; and files that the configuration names."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING

from imds.core.paths import AVAILABILITY_ZONE, DYNAMIC, INTERFACES, META_DATA, REGION, is_below
from imds.core.patterns import ACCOUNT_ID, MAC
from imds.core.patterns import AVAILABILITY_ZONE as ZONE_NAME
from imds.core.patterns import REGION as REGION_NAME
from imds.core.templates import VARIABLES, names_in
from imds.core.timestamps import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from imds.config.document import Node

MOST_USER_DATA = 16 * 1024
"""Bytes; EC2's limit."""


def _matching(pattern: re.Pattern[str]) -> Callable[[str], object]:
    def check(text: str) -> None:
        if not pattern.fullmatch(text):
            raise ValueError

    return check


_KINDS: dict[str, tuple[str, Callable[[str], object]]] = {
    "account": ("twelve digits", _matching(ACCOUNT_ID)),
    "architecture": ("x86_64 or arm64", _matching(re.compile("x86_64|arm64|i386|arm64_mac|x86_64_mac"))),
    "ipv4": ("an IPv4 address", IPv4Address),
    "ipv6": ("an IPv6 address", IPv6Address),
    "mac": ("a MAC in lower case, with colons", _matching(MAC)),
    "network": ("an IPv4 network such as 10.0.0.0/20", IPv4Network),
    "number": ("a number from 0 to 999", _matching(re.compile("[0-9]{1,3}"))),
    "region": ("a region such as eu-west-1", _matching(REGION_NAME)),
    "time": ("a time such as 2026-01-31T12:00:00Z", parse_timestamp),
    "word": ("a short text", _matching(re.compile("[ -~]{1,128}"))),
    "zone": ("an availability zone such as eu-west-1a", _matching(ZONE_NAME)),
}
"""What a text may be: in words, and what raises ValueError for one that it may not be."""

_PATHS = {
    f"{META_DATA}/ipv6": "ipv6",
    f"{META_DATA}/local-ipv4": "ipv4",
    f"{META_DATA}/mac": "mac",
    f"{META_DATA}/public-ipv4": "ipv4",
    AVAILABILITY_ZONE: "zone",
    REGION: "region",
}
_PATHS_OF_INTERFACE = {
    "device-number": "number",
    "ipv6s": "ipv6",
    "local-ipv4s": "ipv4",
    "public-ipv4s": "ipv4",
    "subnet-ipv4-cidr-block": "network",
    "vpc-ipv4-cidr-block": "network",
}
DOCUMENT = {
    "accountId": "account",
    "architecture": "architecture",
    "availabilityZone": "zone",
    "billingProducts": "word",
    "devpayProductCodes": "word",
    "imageId": "word",
    "instanceId": "word",
    "instanceType": "word",
    "kernelId": "word",
    "marketplaceProductCodes": "word",
    "pendingTime": "time",
    "privateIp": "ipv4",
    "ramdiskId": "word",
    "region": "region",
}
"""Fields of the identity document that may be stated, and of which kind they are; its version is fixed."""

LISTS = frozenset(
    {"ipv6s", "local-ipv4s", "public-ipv4s", "billingProducts", "devpayProductCodes", "marketplaceProductCodes"}
)
"""The only ones of those that may have several values."""


def problem(kind: str, text: str, *, lines: bool = False) -> str | None:
    """Return what is wrong with a text of one of ``_KINDS``; None where nothing is.

    Args:
        kind: its name.
        text: the value.
        lines: whether it may have several, one a line.
    """
    what, check = _KINDS[kind]
    for value in text.split("\n") if lines else [text]:
        try:
            check(value)
        except ValueError:
            return f"{value!r} is not {what}"
    return None


def text_problem(path: str, text: str) -> str | None:
    """Return what is wrong with the text of a path; None where nothing is."""
    if path in (META_DATA, DYNAMIC):
        return "has no text of its own: write a mapping of paths below it"
    name, kinds = path, _PATHS
    if is_below(path, INTERFACES) and path != INTERFACES:
        mac, _, name = path.removeprefix(f"{INTERFACES}/").partition("/")
        kinds = _PATHS_OF_INTERFACE
        if wrong := problem("mac", mac):
            return wrong
    if name in kinds:
        return problem(kinds[name], text, lines=name in LISTS)
    unknown = sorted(names_in(text) - {*VARIABLES})
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in VARIABLES)
        return f"{{{unknown[0]}}} stands for nothing; there are: {known}"
    return None


def path_of(node: Node) -> Path:
    """Return the path that a value names; it may be relative to the folder of the configuration.

    Raises:
        RuntimeError: it names a home directory that this host does not know.
    """
    return Path(node.problems.file).parent / Path(node.text(what="a path") or "").expanduser()


def read_file(node: Node, most: int) -> bytes | None:
    """Return the bytes of a file that the configuration names; of one with more than ``most`` None, and a mistake."""
    text = node.text(what="a path")
    if text is None:
        return None
    try:
        path = path_of(node)
        if not path.is_file():
            node.wrong(f"{path} is not a plain file" if path.exists() else f"there is no file {path}")
            return None
        with path.open("rb") as file:
            content = file.read(most + 1)
    except (OSError, RuntimeError) as error:  # the latter: an unknown home directory
        node.wrong(f"{text} cannot be read: {getattr(error, 'strerror', None) or error}")
        return None
    if len(content) > most:
        node.wrong(f"{path} is larger than {most // 1024} KiB")
        return None
    return content
