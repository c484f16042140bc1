"""The load generator: a process of its own that reads one job a line (JSON) and writes one result a line.

Every job is bounded. ``cycle``: clients that each make one connection per request (token, list, role), again and again
for some seconds. ``kept``: clients that repeat one request on one connection each. ``herd``: all clients start one
cycle at the same moment.
"""

from __future__ import annotations

import json
import resource
import select
import socket
import sys
from time import perf_counter

from benchmarks.report import percentile

PATIENCE = 20.0
"""Seconds after which a job gives up what is still open; these are failures."""

TOKEN = b"%TOKEN%"
PUT = b"PUT /latest/api/token HTTP/1.1\r\nHost: 127.0.0.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\r\n"
GET = (
    b"GET /latest/meta-data/iam/security-credentials/%s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"X-aws-ec2-metadata-token: %%TOKEN%%\r\n\r\n"
)


def cycle(role: str) -> list[str]:
    """Return the requests with which an SDK gets the credentials of ``role``."""
    return [PUT.decode(), (GET % b"").decode(), (GET % role.encode()).decode()]


class Client:
    """Makes its requests one after the other, each over a new connection or all over one."""

    def __init__(self, load: Load, requests: list[bytes], *, kept: bool) -> None:
        self._load = load
        self._requests = requests
        self._kept = kept
        self._socket: socket.socket | None = None
        self.start()

    def start(self) -> None:
        """Begin a cycle."""
        self._began = perf_counter()
        self._step = 0
        self._token = b""
        self._request()

    def ready(self) -> None:
        """Go on: the socket can be written or read."""
        try:
            if self._unsent:
                self._send()
            else:
                self._receive()
        except OSError:
            self._end(good=False)

    def _request(self) -> None:
        self._received = b""
        self._unsent = self._requests[self._step].replace(TOKEN, self._token)
        try:
            if self._socket is None:
                self._socket = socket.socket()
                self._socket.setblocking(False)
                self._socket.connect_ex(self._load.address)
                self._load.watch(self, self._socket.fileno(), select.EPOLLOUT)
            self._send()
        except OSError:
            self._end(good=False)

    def _send(self) -> None:
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            return
        if not self._unsent:
            self._load.watch(self, self._socket.fileno(), select.EPOLLIN)

    def _receive(self) -> None:
        chunk = self._socket.recv(65536)
        self._received += chunk
        if self._kept:
            complete = bool(chunk) and _complete(self._received)
            if not chunk:
                self._end(good=False)
        else:
            complete = not chunk
            if complete:
                self._close()
        if complete:
            self._answered()

    def _answered(self) -> None:
        head, _, body = self._received.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200") or not body:
            self._end(good=False)
            return
        if self._step == 0:
            self._token = body
        self._step += 1
        if self._step < len(self._requests):
            self._request()
        else:
            self._end(good=True)

    def _end(self, *, good: bool) -> None:
        if not (good and self._kept):
            self._close()
        self._load.ended(self, perf_counter() - self._began if good else None)

    def _close(self) -> None:
        if self._socket is not None:
            self._load.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None


class Load:
    """One job."""

    def __init__(self, job: dict) -> None:
        self.address = ("127.0.0.1", job["port"])
        self._job = job
        self._epoll = select.epoll()
        self._clients: dict[int, Client] = {}
        self._again: list[Client] = []
        self._latencies: list[float] = []
        self._failures = 0
        self._running = 0

    def run(self) -> dict[str, float]:
        """Do the job; return counts and latencies in milliseconds."""
        requests = [request.encode() for request in self._job["requests"]]
        began = perf_counter()
        self._until = began + self._job.get("seconds", 0)
        self._most = self._job.get("count", 10**9)
        for _ in range(self._job["clients"]):
            self._running += 1
            Client(self, requests, kept=self._job["mode"] == "kept")
        while self._running and perf_counter() < self._until + PATIENCE:
            while self._again:
                self._again.pop().start()
            for descriptor, _ in self._epoll.poll(0.1):
                if client := self._clients.get(descriptor):
                    client.ready()
        self._epoll.close()
        milliseconds = [latency * 1000 for latency in self._latencies]
        return {
            "done": len(milliseconds),
            "failures": self._failures + self._running,
            "seconds": perf_counter() - began,
            "p50": percentile(milliseconds, 50),
            "p99": percentile(milliseconds, 99),
            "worst": max(milliseconds, default=float("nan")),
        }

    def ended(self, client: Client, latency: float | None) -> None:
        """Note the end of a cycle and start the next where there is time for one."""
        if latency is None:
            self._failures += 1
        else:
            self._latencies.append(latency)
        more = self._job["mode"] != "herd" and perf_counter() < self._until
        if more and len(self._latencies) + self._failures + self._running <= self._most:
            self._again.append(client)
        else:
            client._close()  # noqa: SLF001 - the same module
            self._running -= 1

    def watch(self, client: Client, descriptor: int, events: int) -> None:
        """Tell ``client`` when its socket is ready."""
        if descriptor in self._clients:
            self._epoll.modify(descriptor, events)
        else:
            self._clients[descriptor] = client
            self._epoll.register(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Tell nobody of this socket any more."""
        if self._clients.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)


def _complete(received: bytes) -> bool:
    head, separator, body = received.partition(b"\r\n\r\n")
    length = head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
    return bool(separator) and len(body) >= int(length)


def main() -> None:
    """Do jobs until there are no more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))
    for line in sys.stdin:
        print(json.dumps(Load(json.loads(line)).run()), flush=True)


if __name__ == "__main__":
    main()
