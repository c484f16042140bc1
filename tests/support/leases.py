"""Leases, as who asks for them and who uses them sees them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from support import wire
from support.fakes import KNOWN_SECRETS

if TYPE_CHECKING:
    from support.daemon import DaemonProcess

URL, TOKEN = "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"
FETCH = (
    f"import os, urllib.request as u; r = u.Request(os.environ['{URL}'], headers={{'Authorization': "
    f"os.environ['{TOKEN}']}}); print(u.build_opener(u.ProxyHandler({{}})).open(r).status, flush=True)"
)


@dataclass(frozen=True)
class Granted:
    """A lease, and the way to its credentials."""

    told: dict[str, object]

    @property
    def id(self) -> str:
        return str(self.told["id"])

    def get(self, served: DaemonProcess) -> wire.Reply:
        """Return the answer to whoever has its URL and token."""
        path, secret = urlsplit(str(self.told["url"])).path, str(self.told["token"])
        headers = {"Authorization": secret, "Connection": "close"}
        return wire.exchange(served.address, wire.request("GET", path, headers))


def ask(served: DaemonProcess, **body: object) -> tuple[int, dict]:
    """Return the daemon's answer to who asks for a lease."""
    return wire.control(served.control_socket, "POST", "/v1/leases", json.dumps({"role": "app"} | body))


def grant(served: DaemonProcess, **body: object) -> Granted:
    """Return a new lease."""
    status, told = ask(served, **body)
    assert status == 201, told
    KNOWN_SECRETS.append(told["token"])
    return Granted(told)
