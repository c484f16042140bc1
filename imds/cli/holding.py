"""A lease that ends with this process: its answer is a line, and then a connection that stays open.

However this process ends, the kernel closes the connection, and the daemon ends the lease.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import click

from imds.cli.control_client import ControlError, NoDaemonError, UnixConnection
from imds.core.errors import ImdsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imds.cli.control_client import ControlClient

PATIENCE = 40.0
"""Seconds: AWS is asked before the daemon answers."""


@contextlib.contextmanager
def held(daemon: ControlClient, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Ask for a lease and hold it meanwhile; says so on standard error when it ends before.

    Raises:
        NoDaemonError: none is there (any more).
        ControlError: it said no.
    """
    connection = UnixConnection(daemon.path, PATIENCE)
    try:
        response, given = _ask(connection, daemon, body | {"hold": True})
        closing = threading.Event()
        connection.sock.settimeout(None)
        watch = threading.Thread(target=_watch, args=(response, given["id"], closing), name="lease", daemon=True)
        watch.start()
        try:
            yield given
        finally:
            closing.set()
            with contextlib.suppress(ImdsError):  # it has ended already, or the daemon is gone
                daemon.call("DELETE", f"leases/{given['id']}", {"command_ended": True})
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
            watch.join(1)
    finally:
        connection.close()


def _ask(
    connection: UnixConnection, daemon: ControlClient, body: dict[str, Any]
) -> tuple[http.client.HTTPResponse, dict[str, Any]]:
    try:
        connection.request("POST", "/v1/leases", body=json.dumps(body))
        response = connection.getresponse()
        given: dict[str, Any] = json.loads(response.readline())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoDaemonError(f"no imds daemon answers at {daemon.path} ({error})") from error
    if response.status >= http.HTTPStatus.BAD_REQUEST:
        raise ControlError("\n".join([given.get("error", response.reason), *given.get("problems", [])]))
    return response, given


def _watch(response: http.client.HTTPResponse, lease_id: str, closing: threading.Event) -> None:
    """Wait for the line that says why the lease has ended."""
    why = "the daemon has gone"
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        why = json.loads(response.readline())["ended"]
    if not closing.is_set():
        click.echo(f"imds: lease {lease_id} has ended: {why}; nothing more is given", err=True)
