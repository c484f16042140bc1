"""The admin addresses of a daemon, and what its metrics say, read by Prometheus's own parser."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from support import wire

if TYPE_CHECKING:
    from support.daemon import DaemonProcess

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Admin:
    """One that asks a daemon how it is."""

    def __init__(self, daemon: DaemonProcess) -> None:
        url = next(place for place in daemon.status()["admin_listen"] if place.startswith("http"))
        parts = urlsplit(url)
        self.address = parts.hostname, parts.port

    def get(self, path: str, *, method: str = "GET", host: str = "localhost", **headers: str) -> wire.Reply:
        """Return an answer."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()} | {"Connection": "close"}
        return wire.exchange(self.address, wire.request(method, path, headers, host=host))

    def ready(self, role: str | None = None) -> tuple[int, Any]:
        """Return status and answer of the readiness."""
        reply = self.get(f"/readyz/{role}" if role else "/readyz")
        return reply.status, json.loads(reply.body)

    def text(self) -> str:
        """Return the metrics as they are."""
        reply = self.get("/metrics")
        assert reply.status == 200, reply.raw
        return reply.body.decode()

    def samples(self) -> Samples:
        """Return every value by name and labels."""
        return samples(self.text())

    def value(self, name: str, **labels: str) -> float | None:
        """Return one value, None where there is none."""
        return self.samples().get((name, tuple(sorted(labels.items()))))


def samples(text: str) -> Samples:
    """Return the values in a text, which has none twice."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found
