"""An STS that does what a test says: short sessions, delays, refusals, pages that are not AWS's, a dead line.

It checks nothing; where something must be enforced, an emulator is asked.
"""

from __future__ import annotations

import itertools
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from support.fakes import SECRET_ACCESS_KEY, SESSION_TOKEN

if TYPE_CHECKING:
    from support.namespaces import Namespace

_XMLNS = "https://sts.amazonaws.com/doc/2011-06-15/"
_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What goes over the line; ``delay`` holds it back until the server stops or is released, ``reset`` cuts it."""

    status: int = 200
    body: str = ""
    content_type: str = "text/xml"
    delay: float = 0
    reset: bool = False


Call = dict[str, str]
Behaviour = Callable[[Call], Answer]


def error(code: str, message: str = "no", *, status: int = 400) -> Behaviour:
    """Answer as AWS refuses."""
    text = (
        f'<ErrorResponse xmlns="{_XMLNS}"><Error><Type>Sender</Type><Code>{code}</Code>'
        f"<Message>{escape(message)}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
    )
    return lambda _call: Answer(status=status, body=text)


def page(status: int) -> Behaviour:
    """Answer as a proxy or a hotel's portal does."""
    text = "<!DOCTYPE html><html><head><title>Sorry</title></head><body><p>Try again<br></body></html>"
    return lambda _call: Answer(status=status, body=text, content_type="text/html")


def reset(_call: Call) -> Answer:
    """Cut the line."""
    return Answer(reset=True)


class StandInSts:
    """Answers by ``behaviour``, which tests replace; None gives sessions.

    Attributes:
        calls: the form parameters of every call, oldest first, with the key that signed as ``AccessKeyId``.
        scopes: for what region and service every call was signed, as in ``eu-west-1/sts``.
        lifetime: of the sessions given; None gives as long as asked for.
        ahead: how far its clock is ahead of this machine's; its ``Date`` says so, as AWS's does.
        under_way: how many calls wait for their answer.
    """

    def __init__(
        self,
        port: int = 0,
        namespace: Namespace | None = None,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.behaviour: Behaviour | None = None
        self.calls: list[Call] = []
        self.scopes: list[str] = []
        self.lifetime: timedelta | None = None
        self.ahead = timedelta()
        self.under_way = 0
        self._lock = threading.Lock()
        self._release = threading.Event()
        make = lambda: ThreadingHTTPServer((host, port), _handler(self))  # noqa: E731 - called in place
        self._server = namespace.call(make) if namespace else make()
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> StandInSts:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._release.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def release(self) -> None:
        """Give the answers that are held back, and hold none back any more."""
        self._release.set()

    def slow(self, seconds: float = 20) -> Behaviour:
        """Answer rightly but late."""

        def answer(call: Call) -> Answer:
            given = self.session(call)
            return Answer(status=given.status, body=given.body, delay=seconds)

        return answer

    def answer(self, call: Call) -> Answer:
        with self._lock:
            self.calls.append(call)
            self.under_way += 1
        try:
            answer = (self.behaviour or self.session)(call)
            if answer.delay:
                self._release.wait(answer.delay)
            return answer
        finally:
            with self._lock:
                self.under_way -= 1

    def session(self, call: Call) -> Answer:
        """Answer as STS does."""
        action = call["Action"]
        if action == "GetCallerIdentity":
            result = "<Arn>arn:aws:iam::111122223333:user/me</Arn><UserId>AIDA1</UserId><Account>111122223333</Account>"
        else:
            result = self._credentials(call) + _assumed(call)
        inside = f"<{action}Result>{result}</{action}Result>"
        metadata = "<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>"
        return Answer(body=f'<{action}Response xmlns="{_XMLNS}">{inside}{metadata}</{action}Response>')

    def _credentials(self, call: Call) -> str:
        lifetime = self.lifetime or timedelta(seconds=int(call.get("DurationSeconds", "3600")))
        expiration = datetime.now(UTC) + self.ahead + lifetime
        return (
            f"<Credentials><AccessKeyId>ASIASTANDIN{next(_numbers):09d}</AccessKeyId>"
            f"<SecretAccessKey>{SECRET_ACCESS_KEY}</SecretAccessKey><SessionToken>{SESSION_TOKEN}</SessionToken>"
            f"<Expiration>{expiration:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
        )


def _assumed(call: Call) -> str:
    if "RoleArn" not in call:
        return ""
    account, role = call["RoleArn"].split(":")[4], call["RoleArn"].rpartition("/")[2]
    session = call["RoleSessionName"]
    arn = f"arn:aws:sts::{account}:assumed-role/{role}/{session}"
    user = f"<AssumedRoleId>AROA1:{session}</AssumedRoleId><Arn>{arn}</Arn>"
    return f"<AssumedRoleUser>{user}</AssumedRoleUser>"


def _handler(sts: StandInSts) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            call = dict(parse_qsl(body))
            if "Credential=" in (signed := self.headers.get("Authorization", "")):
                call["AccessKeyId"], _, region, service, _ = signed.partition("Credential=")[2].split("/", 4)
                sts.scopes.append(f"{region}/{service}")
            answer = sts.answer(call)
            if answer.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                return
            with suppress(OSError):  # who asked may have given up
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(answer.body.encode())))
                self.end_headers()
                self.wfile.write(answer.body.encode())

        def date_time_string(self, _: float | None = None) -> str:
            return format_datetime(datetime.now(UTC) + sts.ahead, usegmt=True)

        def handle(self) -> None:
            with suppress(OSError):
                super().handle()

        def finish(self) -> None:
            with suppress(OSError, ValueError):
                super().finish()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
