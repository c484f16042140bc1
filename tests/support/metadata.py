"""An instance of a made-up host, for tests of what its metadata says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imds.core.host import Host, HostInterface
from imds.core.instances import Instance, Overlay
from imds.core.simulation import NOTHING, Simulated
from imds.metadata.instance import texts

if TYPE_CHECKING:
    from collections.abc import Mapping

LAUNCHED = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
INTERFACE = HostInterface(mac="02:42:ac:11:00:02", ipv4="10.1.2.3", prefix_length=24)


def host(**about: Any) -> Host:
    """Return a made-up host."""
    made = {"id": b"host", "name": "laptop", "interface": INTERFACE, "machine": "x86_64", "launched": LAUNCHED}
    return Host(**{**made, **about})


def whole(
    stated: Mapping[str, str | None] | None = None,
    *,
    document: Mapping[str, object] | None = None,
    region: str = "eu-west-1",
    account_id: str | None = "111122223333",
    simulated: Simulated = NOTHING,
    on: Host | None = None,
    **instance: Any,
) -> dict[str, str]:
    """Return the texts of an instance on it; paths below ``meta-data`` are ``stated`` without that."""
    overlay = Overlay(
        texts={f"meta-data/{path}": text for path, text in (stated or {}).items()}, document=document or {}
    )
    about = {"name": "default", "role": "app", "roles": frozenset({"app"}), "overlay": overlay, **instance}
    return texts(Instance(**about), host=on or host(), region=region, account_id=account_id, simulated=simulated)
