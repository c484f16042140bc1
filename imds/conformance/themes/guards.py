"""Whom a metadata service must let in, and whom it had better refuse: proxies, web pages, names that are rebound."""

from __future__ import annotations

from imds.conformance import sources
from imds.conformance.rule import Theme, require
from imds.conformance.target import META_DATA, ROLES, Target

THEME = Theme(name="guards", title="proxies, web pages and odd clients")
must, should = THEME.must, THEME.should

OK, FORBIDDEN = 200, 403
REFUSED = "403"


@must("host-any", "Any form of the endpoint's own address is taken as Host, and none at all.", f"{sources.CRT}, PR 203")
def _host_any(target: Target) -> None:
    name = f"[{target.endpoint.host}]" if ":" in target.endpoint.host else target.endpoint.host
    bare = [target.endpoint.host] if ":" in target.endpoint.host else []
    for host in (None, name, f"{name}:{target.endpoint.port}", *bare):
        reply = target.get(META_DATA, host=host)
        require(reply.status == OK, f"{'no Host' if host is None else f'Host: {host}'}: {reply}", "200")


@should("host-names", "EC2's own address and names are taken as Host.", "amazonka asks http://instance-data/latest")
def _host_names(target: Target) -> None:
    for host in ("169.254.169.254", "[fd00:ec2::254]", "instance-data", "instance-data.ec2.internal"):
        reply = target.get(META_DATA, host=host)
        require(reply.status == OK, f"Host: {host}: {reply}", "200")


@must("http-1.0", "An HTTP/1.0 client is answered, without Host too.", "RFC 9112, 3.2; old scripts")
def _old(target: Target) -> None:
    for host in (None, ""):
        reply = target.get(META_DATA, host=host, version="1.0")
        require(reply.status == OK, f"{'no Host' if host is None else 'with Host'}: {reply}", "200")


@must("client-headers", "What clients send besides is no reason to refuse.", "curl, Ruby, Go, the SDKs, Node's fetch")
def _client_headers(target: Target) -> None:
    for headers in (
        {"User-Agent": "", "Accept": "*/*"},
        {"Accept-Encoding": "gzip", "Amz-Sdk-Request": "attempt=1; max=4", "Amz-Sdk-Invocation-Id": "0"},
        {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "0"},
        {"Sec-Fetch-Mode": "cors", "Accept-Language": "*"},
        {"Cache-Control": "no-cache", "If-None-Match": "x", "If-Modified-Since": "Thu, 27 Jun 2030 00:00:00 GMT"},
    ):
        reply = target.get(META_DATA, headers)
        require(reply.status == OK, f"{', '.join(headers)}: {reply}", "200")


@must("pieces", "A request that arrives in pieces is the same request.", "RFC 9293: TCP is a stream")
def _pieces(target: Target) -> None:
    lines = [f"{name}: {value}\r\n".encode() for name, value in target.as_client().items()]
    host = f"Host: {target.endpoint.authority}\r\n".encode()
    reply = target.send(b"GET ", META_DATA.encode(), b" HTTP/1.1\r", b"\n", host, *lines, b"\r", b"\n")
    require(reply.status == OK, reply, "200")


@should("half-closed", "A client that says that it sends no more is answered.", "nc -N")
def _half_closed(target: Target) -> None:
    reply = target.get(META_DATA, half_close=True)
    require(reply.status == OK, reply, "200")


@must("no-cors", "No answer lets web pages read it.", sources.REBINDING)
def _no_cors(target: Target) -> None:
    asked: tuple[tuple[str, dict[str, str]], ...] = (
        ("GET", {"Origin": "http://example.com"}),
        ("OPTIONS", {"Origin": "http://example.com"}),
        ("GET", {}),
    )
    for method, headers in asked:
        reply = target.get(ROLES, headers, method=method)
        for name, value in reply.headers:
            seen = f"{method}: {name}: {value}"
            require(not name.lower().startswith("access-control-allow"), seen, "no Access-Control-Allow-…")


@should("get-forwarded", "A GET with X-Forwarded-For is refused.", "EC2 with a token, kube2iam PR 279")
def _get_forwarded(target: Target) -> None:
    _refused(target, {"X-Forwarded-For": "203.0.113.7"})


@should("foreign-host", "A foreign name as Host is refused: a page has rebound its own.", sources.REBINDING)
def _foreign_host(target: Target) -> None:
    for host in ("example.com", "169.254.169.254.example.com", f"localhost.example.com:{target.endpoint.port}"):
        reply = target.get(ROLES, host=host)
        require(reply.status == FORBIDDEN, f"Host: {host}: {reply}", REFUSED)


@should("foreign-target", "A whole URL of a foreign name as target is refused.", sources.REBINDING)
def _foreign_target(target: Target) -> None:
    reply = target.get(f"http://example.com{ROLES}")
    require(reply.status == FORBIDDEN, reply, REFUSED)


@should("web-origin", "A page's Origin is refused, also null.", sources.REBINDING)
def _origin(target: Target) -> None:
    _refused(target, {"Origin": "http://example.com"}, {"Origin": "null"})


@should("web-referer", "A page's Referer is refused.", sources.REBINDING)
def _referer(target: Target) -> None:
    _refused(target, {"Referer": "http://example.com/"})


@should("web-fetch", "A browser's Sec-Fetch-Site is refused, whatever it says.", sources.REBINDING)
def _fetch(target: Target) -> None:
    _refused(target, *({"Sec-Fetch-Site": site} for site in ("cross-site", "same-origin", "none")))


def _refused(target: Target, *each: dict[str, str]) -> None:
    for headers in each:
        reply = target.get(ROLES, headers)
        name, value = next(iter(headers.items()))
        require(reply.status == FORBIDDEN, f"{name}: {value}: {reply}", REFUSED)
