"""``metadata``, ``metadata_from`` and ``user_data`` of an instance: what the operator says of its metadata."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import TYPE_CHECKING

from imds.core.instances import Overlay
from imds.core.paths import IAM, IDENTITY_CREDENTIALS, IDENTITY_DOCUMENT, TAGS
from imds.core.templates import VARIABLES, names_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from imds.config.document import Node

MOST_USER_DATA = 16 * 1024
"""Bytes; EC2's limit."""

META_DATA = "meta-data"
PUBLIC_KEYS = "meta-data/public-keys"
SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9+=.,_:@-]{1,128}")
TAG_KEY = "a tag's key has letters, digits or any of +-=.,_:@, and is not ., .. or _index: EC2 shows no others"
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


def read_overlay(entries: Mapping[str, Node]) -> Overlay:
    """Return what an instance's ``metadata_from``, ``metadata`` and ``user_data`` say; the last wins."""
    overlay = Overlay()
    if "metadata" in entries:
        overlay = _over(overlay, _read_metadata(entries["metadata"]))
    if "user_data" in entries:
        overlay = replace(overlay, user_data=_read_user_data(entries["user_data"]))
    return overlay


def _over(below: Overlay, above: Overlay) -> Overlay:
    """Return two overlays as one; where both say something, the one above holds."""
    hidden = tuple(f"{path}/" for path in above.texts)
    kept = {path: text for path, text in below.texts.items() if not path.startswith(hidden)}
    return Overlay(
        texts={**kept, **above.texts},
        document={**below.document, **above.document},
        user_data=above.user_data if above.user_data is not None else below.user_data,
    )


def _read_metadata(node: Node) -> Overlay:
    reader = _Reader()
    reader.mapping(node, "meta-data")
    for path in reader.texts:
        if above := next((other for other in reader.texts if path.startswith(f"{other}/")), None):
            node.wrong(f"{path} cannot be below {above}, which has a value itself")
    return Overlay(texts=reader.texts, document=reader.document)


class _Reader:
    """Collects the paths that a mapping names and their texts; keys may have slashes, and mappings may be nested."""

    def __init__(self) -> None:
        self.texts: dict[str, str | None] = {}
        self.document: dict[str, object] = {}

    def mapping(self, node: Node, above: str) -> None:
        """Take in the entries of a mapping below a path."""
        for key, entry in node.mapping().items():
            segments = [segment for segment in key.split("/") if segment]
            absolute = above == META_DATA and segments[:1] in (["dynamic"], [META_DATA])
            path = "/".join(segments if absolute else [above, *segments])
            if not segments or not all(SEGMENT.fullmatch(segment) for segment in segments):
                entry.wrong("is not a path of the metadata service" if not above.startswith(TAGS) else TAG_KEY)
            else:
                self._entry(path, entry)

    def _entry(self, path: str, entry: Node) -> None:
        if (misplaced := _misplaced(path)) is not None:
            entry.wrong(misplaced)
        elif path == IDENTITY_DOCUMENT:
            self.document |= _read_document(entry)
        elif entry.is_scalar or entry.is_list:
            self._put(path, _read_text(entry, path), entry)
        elif path == PUBLIC_KEYS:
            self._public_keys(entry)
        elif path == TAGS.rpartition("/")[0] and "instance" not in entry.mapping():
            self.mapping(entry, TAGS)
        else:
            self.mapping(entry, path)

    def _put(self, path: str, text: str | None, entry: Node) -> None:
        if path in self.texts:
            entry.wrong(f"{path} stands twice")
        self.texts[path] = text

    def _public_keys(self, node: Node) -> None:
        """Take in public keys by their names; or by their numbers, as the metadata service has them."""
        for number, (name, entry) in enumerate(node.mapping().items()):
            if not entry.is_scalar:
                self.mapping(entry, f"{PUBLIC_KEYS}/{name}")
                continue
            words = (entry.text(what="a public key such as ssh-ed25519 AAAA…") or "").split()
            if len(words) < 2 or not SEGMENT.fullmatch(name):  # noqa: PLR2004 - kind and key
                entry.wrong("is not a public key such as ssh-ed25519 AAAA…, by its name")
            else:  # EC2 writes the name at the end, and this leaf alone ends with a newline
                self._put(f"{PUBLIC_KEYS}/{number}/openssh-key", f"{words[0]} {words[1]} {name}\n", entry)


def _misplaced(path: str) -> str | None:
    """Return why a path cannot be set; None where it can."""
    if path == IAM or path.startswith((f"{IAM}/", IDENTITY_CREDENTIALS)):
        return "credentials come from role, roles and identity_role of the instance, and cannot be written"
    if path == "meta-data/user-data":
        return "write user_data beside metadata"
    if path.startswith(TAGS) and path.endswith(("/.", "/..", "/_index")):
        return TAG_KEY
    return None


def _read_text(node: Node, path: str) -> str | None:
    """Return the text of a path; of a list one line an entry; None, which takes the path away, for null."""
    if node.is_null:
        return None
    mistakes = len(node.problems.found)
    items = node.items() if node.is_list else [node]
    lines = [line.rstrip("\n") for item in items if (line := item.text(empty=True)) is not None]
    text = "\n".join(lines)
    if len(node.problems.found) == mistakes and (problem := text_problem(path, text)) is not None:
        node.wrong(problem)
    return text


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


def _read_document(node: Node) -> dict[str, object]:
    """Return the fields of the identity document that are stated."""
    if node.is_scalar or node.is_list:
        node.wrong("states fields of the document: write a mapping, such as {accountId: ...}")
        return {}
    fields: dict[str, object] = {}
    for name, entry in node.mapping().items():
        if name not in DOCUMENT:
            entry.wrong(f"is not a field of the identity document; there are: {', '.join(DOCUMENT)}")
        elif entry.is_list:
            fields[name] = [item.text() for item in entry.items()]
        else:
            pattern, what = DOCUMENT[name]
            fields[name] = None if entry.is_null else entry.matching(pattern, what)
    return fields


def _read_user_data(node: Node) -> bytes | None:
    """Return user data: a text as it stands, ``{file: PATH}``, or ``{base64: …}``."""
    if node.is_null:
        return None
    content: bytes | None = None
    if node.is_scalar:
        content = (node.text(what="user data") or "").encode()
    else:
        entries = node.section("file", "base64")
        if len(entries) != 1:
            node.wrong("is a text, or one of {file: PATH} and {base64: …}")
        elif "file" in entries:
            content = _read_file(entries["file"])
        else:
            try:
                content = base64.b64decode("".join((entries["base64"].text() or "").split()), validate=True)
            except (binascii.Error, ValueError):
                entries["base64"].wrong("is not base64")
    if content is not None and len(content) > MOST_USER_DATA:
        node.wrong(f"has more than {MOST_USER_DATA} bytes, which is all that EC2 takes")
    return content


def _read_file(node: Node) -> bytes | None:
    path = node.path()
    try:
        return read_bounded(path, MOST_USER_DATA) if path is not None else None
    except OSError as error:
        node.wrong(f"{path} cannot be read: {error.strerror or error}")
        return None


def read_bounded(path: Path, most: int) -> bytes:
    """Return a file's bytes, not many more than ``most``.

    Raises:
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise OSError("it is not a plain file" if path.exists() else "there is no such file")
    with path.open("rb") as file:
        return file.read(most + 1)
