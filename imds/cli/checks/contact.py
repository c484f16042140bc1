"""The daemon, as far as this user can speak with it."""

from __future__ import annotations

import http.client
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imds.cli.control_client import ControlClient, ControlError, NoDaemonError
from imds.core.errors import ImdsError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PATIENCE = 1.5
"""Seconds for an answer, of the daemon or of whoever is asked for a session token."""

TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """What became of asking the daemon how it is.

    Attributes:
        client: of its control socket; None where no daemon was found.
        status: its answer; None where there was none.
        refusal: why it does not answer this user.
        closed: a control socket that this user may not open.
    """

    client: ControlClient | None = None
    status: dict[str, Any] | None = None
    refusal: str | None = None
    closed: Path | None = None

    def says(self, key: str) -> Any:  # noqa: ANN401 - JSON
        """Return a part of the status; None where it is not known, or not this user's business."""
        return self.status.get(key) if self.status is not None else None

    def explain(self, pid: int) -> str:
        """Return why the rules give a process what they give it."""
        with suppress(ImdsError, KeyError):
            if self.client is not None:
                return str(self.client.call("POST", "explain", {"pid": pid}, timeout=PATIENCE)["because"])
        return "no rule of callers gives it an instance"

    @property
    def is_there(self) -> bool:
        """Whether a daemon was found."""
        return self.client is not None

    @property
    def config(self) -> str:
        """The configuration's path, as far as it is known."""
        return self.says("config") or "the configuration"


def reach(candidates: Iterable[Path]) -> Contact:
    """Ask the first daemon that is there how it is."""
    closed = None
    for path in candidates:
        try:
            _try(path)
        except PermissionError:
            closed = closed or path
            continue
        except OSError:
            continue
        client = ControlClient(path)
        try:
            return Contact(client=client, status=client.call("GET", "status", timeout=PATIENCE))
        except NoDaemonError:
            continue
        except ControlError as error:
            return Contact(client=client, refusal=str(error))
    return Contact(closed=closed)


def _try(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PATIENCE)
        probe.connect(str(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What answered a request for a session token.

    Attributes:
        status: the HTTP status; None where nothing answered.
        server: its ``Server`` header.
        ours: whether the daemon that was found gave the token; None where that is not known.
        error: why nothing answered.
    """

    status: int | None = None
    server: str = ""
    ours: bool | None = None
    error: str = ""


def ask_for_token(host: str, port: int, contact: Contact) -> Answer:
    """Ask an address of this host for a session token, as every client does first, and the daemon whether it is its."""
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE / 2)
    try:
        connection.request("PUT", "/latest/api/token", headers={TTL_HEADER: "60"})
        response = connection.getresponse()
        token = response.read(4096).decode("latin-1")
    except (OSError, http.client.HTTPException) as error:
        return Answer(error=getattr(error, "strerror", None) or str(error) or type(error).__name__)
    finally:
        connection.close()
    ours = None
    if response.status == http.HTTPStatus.OK and contact.client is not None and contact.status is not None:
        ours = _is_ours(token, contact.client)
    return Answer(status=response.status, server=response.getheader("Server", ""), ours=ours)


def _is_ours(token: str, client: ControlClient) -> bool | None:
    try:
        return bool(client.call("POST", "session-tokens/check", {"token": token}, timeout=PATIENCE / 2)["ours"])
    except (ImdsError, KeyError):
        return None  # it is gone, or of another version
