"""Those who are told: a webhook that does what a test says, a mock notification daemon on a session bus of its own."""

from __future__ import annotations

import ssl
import subprocess
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from jeepney import HeaderFields, MessageType, new_error, new_method_return
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection

ITEM = "org.freedesktop.Notifications"


class Hook:
    """A webhook; ``status`` is what it answers, ``location`` where it leads.

    Attributes:
        requests: path, headers and body of each.
        held: clear it, and no answer comes.
        drops: whether it closes every connection without an answer.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.status, self.location, self.drops = 204, "", False
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.held = threading.Event()
        self.held.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._scheme = "https" if tls else "http"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def place(self) -> str:
        return f"{self._scheme}://localhost:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.place}/neverlogthispath"

    def __enter__(self) -> Hook:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.held.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(hook: Hook) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            hook.requests.append((self.path, dict(self.headers), body))
            hook.held.wait(30)
            if hook.drops:
                return
            self.send_response(hook.status)
            if hook.location:
                self.send_header("Location", hook.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def handle(self) -> None:
            with suppress(OSError):
                super().handle()

        def finish(self) -> None:
            with suppress(OSError, ValueError):
                super().finish()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


class NotificationDaemon:
    """What a desktop has, on a bus of its own.

    Args:
        capabilities: that it says it has.
        refuses: whether it takes nothing.

    Attributes:
        shown: arguments of every call of Notify.
    """

    def __init__(self, *capabilities: str, refuses: bool = False) -> None:
        self._capabilities, self._refuses = list(capabilities), refuses
        self.shown: list[tuple[object, ...]] = []

    def __enter__(self) -> NotificationDaemon:
        command = ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address=1"]
        self._bus = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        address = self._bus.stdout.readline().strip()
        self.environment = {"DBUS_SESSION_BUS_ADDRESS": address, "PATH": "/usr/bin:/bin"}
        self._connection = open_dbus_connection(bus=address)
        self._connection.send_and_get_reply(message_bus.RequestName(ITEM))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._connection.close()
        self._bus.terminate()
        self._bus.wait()
        self._bus.stdout.close()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                message = self._connection.receive(timeout=0.05)
            except TimeoutError:
                continue
            if message.header.message_type is MessageType.method_call:
                self._connection.send(self._answer(message))

    def _answer(self, message):
        member = message.header.fields[HeaderFields.member]
        if member == "GetCapabilities":
            return new_method_return(message, "as", (self._capabilities,))
        if member != "Notify" or self._refuses:
            return new_error(message, f"{ITEM}.Error.NotNow", "s", ("Not now,\nplease",))
        self.shown.append(message.body)
        return new_method_return(message, "u", (1,))
