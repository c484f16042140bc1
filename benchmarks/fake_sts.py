"""An STS that answers AssumeRole at once, in a thread: what is measured is the daemon."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

SESSION_TOKEN = "IQoJb3JpZ2luX2VjE" + "m" * 700
"""As long as real ones."""

_ANSWER = """\
<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>\
<AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY</SecretAccessKey>\
<SessionToken>{token}</SessionToken><Expiration>{expiration:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>\
<AssumedRoleUser><AssumedRoleId>AROA3XFRBF535PLBIFPI4:bench</AssumedRoleId>\
<Arn>{arn}</Arn></AssumedRoleUser></AssumeRoleResult>\
<ResponseMetadata><RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId></ResponseMetadata></AssumeRoleResponse>"""


class FakeSts:
    """Listens on a loopback port while in use.

    Attributes:
        calls: how many sessions it gave.
    """

    def __enter__(self):
        self.calls = 0
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                owner.calls += 1
                body = answer(form["RoleArn"][0]).encode()
                head = f"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
                self.wfile.write(head.encode() + body)

            def log_message(self, *_) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()


def answer(role_arn: str) -> str:
    """Return STS's document for a session of ``role_arn``, one hour long."""
    arn = role_arn.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/") + "/bench"
    return _ANSWER.format(token=SESSION_TOKEN, expiration=datetime.now(UTC) + timedelta(hours=1), arn=arn)
