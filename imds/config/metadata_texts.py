"""What the texts of the metadata may be, where other paths are made of them; and files that the configuration names."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING

from imds.core.templates import VARIABLES, names_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from imds.config.document import Node

MOST_USER_DATA = 16 * 1024
"""Bytes; EC2's limit."""

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+){1,3}-\d+")
_ZONE = re.compile(r"[a-z]{2}(?:-[a-z0-9]+)+[a-z]")
_NUMBER = re.compile(r"\d{1,3}")


def _matching(pattern: re.Pattern[str]) -> Callable[[str], object]:
    def check(text: str) -> None:
        if not pattern.fullmatch(text):
            raise ValueError

    return check


_KINDS: dict[str, tuple[str, Callable[[str], object]]] = {
    "ipv4": ("an IPv4 address", IPv4Address),
    "ipv6": ("an IPv6 address", IPv6Address),
    "network": ("an IPv4 network such as 10.0.0.0/20", IPv4Network),
    "mac": ("a MAC in lower case, with colons", _matching(_MAC)),
    "number": ("a number from 0 to 999", _matching(_NUMBER)),
    "region": ("a region such as eu-west-1", _matching(_REGION)),
    "zone": ("an availability zone such as eu-west-1a", _matching(_ZONE)),
}
_TYPED = {
    "meta-data/ipv6": "ipv6",
    "meta-data/local-ipv4": "ipv4",
    "meta-data/mac": "mac",
    "meta-data/placement/availability-zone": "zone",
    "meta-data/placement/region": "region",
    "meta-data/public-ipv4": "ipv4",
}
_TYPED_OF_INTERFACE = {
    "device-number": "number",
    "ipv6s": "ipv6",
    "local-ipv4s": "ipv4",
    "public-ipv4s": "ipv4",
    "subnet-ipv4-cidr-block": "network",
    "vpc-ipv4-cidr-block": "network",
}
_MACS = re.compile(r"meta-data/network/interfaces/macs/([^/]+)(?:/(.+))?")
_WORD = re.compile(r"[ -~]{1,128}")
DOCUMENT: dict[str, tuple[re.Pattern[str], str]] = {
    "accountId": (re.compile(r"\d{12}"), "twelve digits"),
    "architecture": (re.compile(r"x86_64|arm64|i386|arm64_mac|x86_64_mac"), "x86_64 or arm64"),
    "availabilityZone": (_ZONE, "an availability zone such as eu-west-1a"),
    "billingProducts": (_WORD, "a list"),
    "devpayProductCodes": (_WORD, "a list"),
    "imageId": (_WORD, "an AMI's id"),
    "instanceId": (_WORD, "an instance's id"),
    "instanceType": (_WORD, "an instance type"),
    "kernelId": (_WORD, "a kernel's id"),
    "marketplaceProductCodes": (_WORD, "a list"),
    "pendingTime": (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "a time such as 2026-01-31T12:00:00Z"),
    "privateIp": (re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}"), "an IPv4 address"),
    "ramdiskId": (_WORD, "a RAM disk's id"),
    "region": (_REGION, "a region such as eu-west-1"),
}
"""Fields of the identity document that may be stated; its version is fixed."""


def text_problem(path: str, text: str) -> str | None:
    """Return what is wrong with the text of a path; None where nothing is."""
    kind = _kind(path)
    if kind is not None:
        what, check = _KINDS[kind]
        for line in text.split("\n"):
            try:
                check(line)
            except ValueError:
                return f"{line!r} is not {what}"
        return None
    unknown = sorted(names_in(text) - {*VARIABLES})
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in VARIABLES)
        return f"{{{unknown[0]}}} stands for nothing; there are: {known}"
    return None


def _kind(path: str) -> str | None:
    """Return of which kind the text of a path must be, because other paths are made of it."""
    found = _MACS.fullmatch(path)
    return _TYPED.get(path) if found is None else _TYPED_OF_INTERFACE.get(found[2])


def path_of(node: Node) -> Path:
    """Return the path that a value names; it may be relative to the folder of the configuration.

    Raises:
        RuntimeError: it names a home directory that this host does not know.
    """
    return Path(node.problems.file).parent / Path(node.text(what="a path") or "").expanduser()


def read_file(node: Node, most: int) -> bytes | None:
    """Return the bytes of a file that the configuration names, not many more than ``most``."""
    text = node.text(what="a path")
    if text is None:
        return None
    try:
        path = path_of(node)
        if not path.is_file():
            node.wrong(f"{path} is not a plain file" if path.exists() else f"there is no file {path}")
            return None
        with path.open("rb") as file:
            return file.read(most + 1)
    except (OSError, RuntimeError) as error:  # the latter: an unknown home directory
        node.wrong(f"{text} cannot be read: {getattr(error, 'strerror', None) or error}")
        return None
