"""``{instance_metadata: {endpoint: URL}}`` and ``{container: {url: URL}}``: the role of the machine we run on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imds.config.sources.kind import SourceKind
from imds.config.sources.reading import missing

if TYPE_CHECKING:
    from pathlib import Path

    from imds.config.document import Node

EC2 = "http://169.254.169.254"


@dataclass(frozen=True, slots=True, kw_only=True)
class FromInstanceMetadata(SourceKind):
    """Another instance metadata service, EC2's own unless it is named."""

    kind = "instance_metadata"
    temporary = True
    endpoint: str = EC2

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port."""
        return address_of(self.endpoint)

    def __str__(self) -> str:
        return f"the instance metadata at {self.endpoint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FromContainer(SourceKind):
    """Another container-credentials endpoint; without ``url`` what ECS or EKS names in the environment."""

    kind = "container"
    temporary = True
    url: str | None = None
    token_file: Path | None = None

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port."""
        return address_of(self.url) if self.url else None

    def __str__(self) -> str:
        return f"the container credentials at {self.url}" if self.url else "the container credentials of this task"


def read_instance_metadata(node: Node) -> FromInstanceMetadata | None:
    """Return the value of ``instance_metadata``."""
    entries = node.section("endpoint")
    if "endpoint" not in entries:
        return FromInstanceMetadata()
    endpoint = _read_url(entries["endpoint"])
    return FromInstanceMetadata(endpoint=endpoint) if endpoint else None


def read_container(node: Node) -> FromContainer | None:
    """Return the value of ``container``."""
    if node.is_scalar:
        return FromContainer() if node.one_of("environment") else None
    entries = node.section("url", "token_file")
    if missing(node, entries, "url"):
        return None
    url = _read_url(entries["url"])
    token_file = entries["token_file"].path() if "token_file" in entries else None
    return FromContainer(url=url, token_file=token_file) if url else None


def address_of(url: str) -> tuple[str, int] | None:
    """Return the host and port of an HTTP URL, None when it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        return None
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
    return host, port or (443 if parts.scheme == "https" else 80)


def _read_url(node: Node) -> str | None:
    text = node.text(what="a URL")
    if text is not None and address_of(text) is None:
        node.wrong(f"{text!r} is not a URL: write http://ADDRESS or https://HOST")
        return None
    return text
