"""A stand-in for a container engine: the part of Docker's API that is asked, over a unix socket, as a test says."""

from __future__ import annotations

import json
import queue
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer


class StandInEngine:
    """Answers ``/containers/json`` and ``/containers/ID/json`` from ``containers``, which tests change.

    Attributes:
        asked: the paths asked, oldest first.
        told: what happens, for those who follow; None ends what they hear.
        followed: set while somebody follows.
        broken: an answer to give instead, as bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.containers: dict[str, dict[str, object]] = {}
        self.asked: list[str] = []
        self.broken: bytes | None = None
        self.told: queue.Queue[bytes | None] = queue.Queue()
        self.followed = threading.Event()
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                engine.asked.append(self.path)
                if "/events" in self.path:
                    self.tell()
                    return
                found = engine.answer(self.path.split("/")[2:])
                content = engine.broken if engine.broken is not None else json.dumps(found).encode()
                self.send_response(404 if found is None else 200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def tell(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.flush()
                engine.followed.set()
                while (event := engine.told.get()) is not None:
                    self.wfile.write(event)
                engine.followed.clear()

            def address_string(self) -> str:
                return "unix"

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(ThreadingMixIn, UnixStreamServer):
            daemon_threads = True

        self._server = Server(str(path), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> StandInEngine:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.told.put(None)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.path.unlink(missing_ok=True)

    def run(self, number: int, *, address: str = "", pid: int = 1, age: float = 60, **labels: str) -> str:
        """Have a container with an address; return its id."""
        container_id = f"{number:064x}"
        started = datetime.now(UTC) - timedelta(seconds=age)
        self.containers[container_id] = {
            "Id": container_id,
            "Name": f"/c{number}",
            "State": {"Running": True, "Pid": pid, "StartedAt": f"{started:%Y-%m-%dT%H:%M:%S.%f}789Z"},
            "Config": {"Image": f"image-{number}", "Labels": labels or None, "Env": None},
            "NetworkSettings": {"Networks": {"bridge": {"IPAddress": address, "GlobalIPv6Address": ""}}},
        }
        return container_id

    def happens(self, container_id: str, action: str) -> None:
        """Tell whoever follows of an event."""
        event = {"Type": "container", "Action": action, "Actor": {"ID": container_id, "Attributes": {}}}
        self.told.put(json.dumps(event).encode() + b"\n")

    def answer(self, path: list[str]) -> object:
        """Return what the engine says to a path, None for what is not there."""
        match path:
            case ["containers", "json"]:
                return list(self.containers.values())
            case ["containers", container_id, "json"]:
                return self.containers.get(container_id)
        return None
