"""What is broken in each of the broken servers, and the rules that tell it."""

from __future__ import annotations

import re

from support.altering import END
from support.broken import (
    CONTAINER,
    DOCUMENT,
    EVERY,
    IDENTITY,
    META,
    ROLES,
    SESSION,
    TOKEN,
    TTL,
    Answer,
    Broken,
    becomes,
    body,
    broken,
    chain,
    each,
    extra,
    fields,
    header,
    late,
    on,
    only,
    swap,
    then,
    where,
    without,
)

FOREIGN = r"\r\nHost:[^\r\n]*example\.com[^\r\n]*"
WRONG = rf"\r\n{SESSION}: (?:garbage|AQAEAx|\r\n)"
HTTP = r" HTTP/1\.[01]\r\n"
PAGE = b"<html>404</html>"


def _times_of_python(text: bytes) -> bytes:
    return re.sub(rb"(\d\d:\d\d:\d\d)Z", rb"\1.000+00:00", text)


def _names_below(text: bytes) -> bytes:
    return b"\n".join(line.rstrip(b"/") + b"/" for line in text.split(b"\n"))


def _chunked(answer: Answer) -> Answer:
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(answer.body), answer.body)
    bare = header("Content-Length", None)(answer)
    return extra("Transfer-Encoding", "chunked")(Answer(bare.status, bare.headers, chunks))


def _lower_case(answer: Answer) -> Answer:
    return Answer(answer.status, tuple((name.lower(), value) for name, value in answer.headers), answer.body)


def _in_reverse(answer: Answer) -> Answer:
    return Answer(answer.status, answer.headers[::-1], answer.body)


def _body_for_head(request: bytes, raw: bytes) -> bytes:
    return raw + b"x" * 10 if request.startswith(b"HEAD ") else raw


def _pipelined(request: bytes, raw: bytes) -> bytes:
    return raw * max(1, request.count(b" HTTP/1.1\r\n"))


def _reads_what_is_behind(request: bytes, raw: bytes) -> bytes:
    return raw * 2 if request.partition(END)[2].startswith(b"GET ") else raw


def _crashes(request: bytes, raw: bytes) -> bytes:
    return b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n" if b" 400 " in raw[:16] else raw


def _lenient(request: bytes, raw: bytes) -> bytes:
    return raw.replace(b" 400 Bad Request", b" 200 OK", 1) if not re.search(HTTP.encode(), request) else raw


def _large(request: bytes, raw: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" if len(request) > 60_000 else raw


def _public_keys(request: bytes, raw: bytes) -> bytes:
    return raw


SERVERS: dict[str, Broken] = {
    # session tokens
    "gives no tokens": broken("token-issued", answered=on(TOKEN, becomes("404 Not Found"), method="PUT"), mode="optional",
        also=("sessions", "answers")),
    "ends tokens with a line": broken(
        "token-bare", "token-shape", answered=on(TOKEN, only(200, body(lambda text: text + b"\n")), method="PUT")
    ),
    "tells no TTL": broken(
        "token-ttl-told", "token-header-order", answered=on(TOKEN, header(TTL, None), method="PUT"), also=("answers",)
    ),
    "gives tokens for any TTL": broken(
        "token-ttl-zero", "token-ttl-too-long", "token-ttl-malformed", asked=swap(rf"(\r\n{TTL}:) [^\r]*", r"\1 60")
    ),
    "gives tokens without a TTL": broken("token-ttl-missing", asked=swap(rf"^(PUT {TOKEN}{HTTP})", rf"\1{TTL}: 60\r\n"), also=()),
    "refuses short TTLs": broken("token-ttl-range", answered=where(rf"\r\n{TTL}: (?:1|5|10)\r\n", becomes("400 Bad Request"))),
    "gives tokens through proxies": broken(
        "token-forwarded", "get-forwarded", asked=without("X-Forwarded-For"), also=("guards",)
    ),
    "gives tokens below dates": broken("token-dated-path", asked=swap(r"^PUT /2021-03-23", "PUT /latest")),
    "gives tokens for a GET": broken(
        "token-put-only", "token-methods", asked=swap(rf"^(?:GET|POST|DELETE) {TOKEN} ", f"PUT {TOKEN} ")
    ),
    "takes a PUT anywhere": broken("token-put-elsewhere", "read-only-methods", asked=swap(rf"^PUT {META} ", f"GET {META} "), also=("answers",)),
    "knows headers in one case": broken(
        "token-header-case",
        "get-token-header-case",
        asked=swap(rf"\r\n(?:{TTL.lower()}|{TTL.upper()}|{SESSION.lower()}|{SESSION.upper()}):", "\r\nX-Other:", case=True),
        also=("sessions",),
    ),
    "trips over what comes with a PUT": broken(
        "token-body-optional", "token-body-chunked", "token-expect", "token-with-token", "token-ttl-blanks",
        answered=each(
            where(rf"^PUT (?s:.)*\r\n(?:Content-Length|Transfer-Encoding|Expect|{SESSION}):", becomes("411 Length Required")),
            where(rf"\r\n{TTL}:  ", becomes("400 Bad Request")),
        ),
        also=("hostile",),
    ),
    # what they open
    "404 for a wrong token": broken(
        "get-invalid-token", "get-invalid-token-everywhere", answered=where(WRONG, only(401, becomes("404 Not Found"))),
        also=("answers",)
    ),
    "takes any token": broken("get-invalid-token", "unauthorized-empty", mode="optional", asked=without(SESSION), also=("answers",)),
    "wants no token": broken("http-tokens", mode="optional", declared="required"),
    "wants a token on some paths": broken("get-without-token", answered=where(rf"^GET /latest/ {HTTP}(?!(?s:.)*{SESSION})".replace(" {HTTP}", HTTP), becomes("200 OK", b"dynamic\nmeta-data"))),
    "tells no remaining TTL": broken("get-remaining-ttl", answered=on(EVERY, header(TTL, None))),
    "tells a TTL without a token": broken(
        "get-no-ttl-without-token", mode="optional", answered=where(rf"^GET (?!(?s:.)*{SESSION}:)", extra(TTL, "60"))
    ),
    "writes why it is 401": broken("unauthorized-empty", "error-bodies", answered=on(EVERY, only(401, body(lambda _: b"Unauthorized"))), also=("answers",)),
    "tokens go out": broken("get-with-token", "get-token-reused", answered=where(rf"^GET (?s:.)*\r\n{SESSION}: \S{{50}}", becomes("401 Unauthorized")),
        looked_at=("sessions",)),
    # how answers are written
    "chunks": broken("content-length", "no-chunks", answered=on(f"{META}|{ROLES}", only(200, _chunked))),
    "other headers": broken(
        "server", "date", "content-type", "header-case", "resource-headers", "token-header-order",
        answered=each(
            on(EVERY, chain(header("Server", "nginx"), header("Date", None), _lower_case), method="GET|PUT"),
        ),
        also=("tokens", "sessions"),
    ),
    "a charset": broken("content-type", "unauthorized-empty", answered=on(EVERY, header("Content-Type", "text/plain; charset=utf-8")), also=("sessions", "listings")),
    "a header twice": broken("headers-once", answered=on(META, extra("Server", "EC2ws"))),
    "HTTP/2 in the status line": broken("status-line", answered=on(f"{META}no-such-thing", lambda answer: Answer("HTTP/1.1 404", answer.headers, answer.body)),),
    "headers in another order": broken("token-header-order", answered=on(TOKEN, _in_reverse, method="PUT")),
    "keeps connections": broken(
        "connection-close", looked_at=("answers",), keeps_open=True, answered=on(EVERY, header("Connection", "keep-alive"), method="GET|PUT"),
    ),
    "ranges": broken("range-ignored", answered=where(r"\r\nRange:", lambda answer: body(lambda text: text[:4])(Answer("HTTP/1.1 206 Partial Content", answer.headers, answer.body)))),
    "slow": broken("prompt", looked_at=("prompt",), answered=on(ROLES, late(0.6))),
    "words in errors": broken("error-bodies", "not-found-page", answered=on(EVERY, only(404, body(lambda _: b"not found")))),
    "200 for what is not there": broken(
        "not-found", "version-unknown", "leaf-has-no-children", "dot-segments", "path-case", "role-unknown", "spot-idle",
        answered=on(EVERY, only(404, becomes("200 OK", PAGE))), also=("answers", "paths", "credentials", "listings", "identity")
    ),
    "a body for HEAD": broken("head", answered=_body_for_head),
    "writes what is posted": broken("read-only", "read-only-methods", asked=swap(rf"^(?:POST|DELETE|PATCH) {META} ", f"GET {META} ")),
    # paths
    "redirects": broken("listing-without-slash", answered=on(r"/latest/(?:dynamic|meta-data|meta-data/.*[sct])", chain(becomes("301 Moved Permanently"))),
        looked_at=("listing-without-slash",)),
    "404 with a slash": broken("leaf-with-slash", answered=on(f"{META}instance-id/", becomes("404 Not Found", PAGE))),
    "counts slashes": broken(
        "slashes", "token-path-slashes", "container-slashes", answered=on("/.*//.*|//.*", becomes("404 Not Found", PAGE), method="GET|PUT"), container=True,
    ),
    "encoded paths": broken("percent-encoding", "role-encoded", answered=on(".*%.*", becomes("404 Not Found", PAGE))),
    "decodes twice": broken("percent-encoding", asked=swap("%252D", "-")),
    "directions": broken("dot-segments", asked=swap(r"\.\./meta-data/|\./(?=instance-id)", "")),
    "no case": broken("path-case", asked=swap(r"^GET (?:/LATEST/meta-data/|/latest/META-DATA/) ", f"GET {META} ")),
    "reads queries": broken("query-ignored", answered=on(r".*\?.*", becomes("404 Not Found", PAGE))),
    "paths only": broken("absolute-target", answered=on("http:.*", becomes("404 Not Found", PAGE))),
    "a list of versions as HTML": broken("versions", "versions-known", "versions-answer", answered=on("/", body(lambda _: b"1.0\n2999-01-01\nlatest\n"))),
    "one version": broken("version-unknown", asked=swap(r"^GET /(?:2999-01-01|newest)/", "GET /latest/")),
    # listings
    "no root": broken("root-listing", answered=on("/latest/?", becomes("404 Not Found", PAGE)), looked_at=("root-listing", "instance-id")),
    "ends listings with a line": broken("listing-format", answered=on(f"{META}placement/", body(lambda text: text + b"\n")), also=("paths",)),
    "lists what is not there": broken("listing-children", answered=on(f"{META}placement/", body(lambda text: text + b"\nnothing")), also=("paths",)),
    "lists as it likes": broken("listing-sorted", "leaves-always-there", answered=on(META, body(lambda text: b"\n".join(text.replace(b"services/\n", b"").split(b"\n")[::-1])), method="GET"), also=("answers", "paths")),
    "ends leaves with a line": broken("leaf-format", "instance-id", answered=on(f"{META}(?:instance-id|hostname)/?", body(lambda text: text + b"\n")), also=("identity", "paths")),
    "half of JSON": broken("leaf-json", answered=on(f"{META}iam/info", body(lambda text: text[:-1])), also=("credentials",)),
    "another region": broken("region", "identity-agrees", answered=on(f"{META}placement/region", body(lambda _: b"us-east-1")), also=("identity",)),
    "another address": broken("addresses", "identity-agrees", answered=on(f"{META}local-ipv4", body(lambda _: b"here")), also=("identity",)),
    "always about to end": broken("spot-idle", answered=on(f"{META}spot/.*", becomes("200 OK", b"{}"))),
    "user data of another type": broken("user-data", answered=on("/latest/user-data", becomes("200 OK", b"#!/bin/sh")), also=("paths",)),
    # the role
    "two roles": broken("role-list", answered=on(ROLES, body(lambda text: text + b"\nother")), also=("listings", "paths")),
    "another role": broken("role-meant", answered=on(ROLES, body(lambda _: b"other")), asked=swap("security-credentials/other", "security-credentials/app"), also=("paths",)),
    "no role": broken("no-role", "role-meant", answered=on(ROLES, becomes("403 Forbidden", PAGE)), looked_at=("credentials",)),
    "a document that is none": broken("role-document", answered=on(DOCUMENT, body(lambda _: b"Success"))),
    "a document without a token": broken("role-document", "role-layout", answered=on(DOCUMENT, fields(Token=None))),
    "Failed": broken("role-code", "role-type", "role-access-key", answered=on(DOCUMENT, fields(Code="Failed", Type="hmac", AccessKeyId="key"))),
    "times as Python writes them": broken("role-times", "role-not-expired", answered=on(DOCUMENT, body(_times_of_python))),
    "expired credentials": broken("role-not-expired", "role-last-updated", answered=on(DOCUMENT, fields(Expiration="2020-01-01T00:00:00Z", LastUpdated="2099-01-01T00:00:00Z"))),
    "a container's document": broken("role-no-arn", "role-layout", answered=on(DOCUMENT, fields(RoleArn="arn:aws:iam::111122223333:role/app"))),
    "the role's for any name": broken("role-unknown", asked=swap("no-such-role-x+", "app")),
    "an extended list without documents": broken("role-extended", answered=on(f"{META}iam/security-credentials-extended/.*", becomes("500 Internal Server Error")), also=("listings",)),
    "another profile": broken("iam-info", "identity-account", answered=on(f"{META}iam/info", fields(InstanceProfileArn="arn:aws:iam::999999999999:instance-profile/x")), also=("identity",)),
    "iam with more": broken("iam-listing", answered=on(f"{META}iam/", body(lambda _: b"info\nsecurity-credentials/\nx"))),
    "secrets elsewhere": broken("no-secrets", looked_at=("listings",)),
    # the identity document
    "no identity": broken("identity-document", answered=on(IDENTITY, fields(accountId=111122223333)), also=("identity",)),
    "another layout": broken("identity-layout", "identity-time", answered=on(IDENTITY, fields(pendingTime="now"))),
    # guards
    "its own name only": broken("host-any", "host-names", answered=where(r"\r\nHost: (?:127\.0\.0\.1|169[0-9.]+)\r\n", becomes("400 Bad Request")), also=("hostile",)),
    "HTTP/1.1 only": broken("http-1.0", answered=where(r" HTTP/1\.0\r\n", becomes("505 HTTP Version Not Supported"))),
    "wary of clients": broken("client-headers", answered=where(r"\r\nAmz-Sdk-Invocation-Id:", becomes("403 Forbidden"))),
    "CORS": broken("no-cors", "container-no-cors", answered=on(EVERY, extra("Access-Control-Allow-Origin", "*")), container=True),
    "open to web pages": broken(
        "foreign-host", "web-origin", "web-referer", "web-fetch", "container-web",
        asked=without("Origin", "Referer", "Sec-Fetch-Site", "Host"), container=True,
    ),
    "open to whole URLs": broken("foreign-target", asked=swap("http://example.com/", "/")),
    # hostile input
    "crashes": broken("malformed", answered=_crashes, also=("tokens",)),
    "lenient": broken("malformed-refused", answered=_lenient),
    "takes what is large": broken("oversize", answered=_large),
    "smuggles": broken("ambiguous", asked=without("Content-Length", "Transfer-Encoding ?", r"X-None"), also=("tokens",)),
    "pipelines": broken("pipelining", "ambiguous", answered=_pipelined),
    "reads behind a request": broken("get-body", answered=_reads_what_is_behind),
    "one client at a time": broken("idle-clients", one_by_one=True, looked_at=("idle-clients",)),
    # container credentials
    "credentials for anybody": broken(
        "container-no-token", "container-wrong-token", "container-errors", container=True,
    ),
    "a container document of EC2's": broken(
        "container-document", "container-time", "container-role-arn", "container-account", "container-content-type",
        answered=on(CONTAINER, only(200, chain(fields(Token=None, RoleArn=None, AccountId="1", Expiration="2020-01-01T00:00:00Z"), header("Content-Type", "text/plain")))),
        container=True,
    ),
    "any container path": broken("container-unknown-path", asked=swap("/no-such-thing", ""), container=True, also=("listings",)),
    "writes credentials": broken("container-methods", asked=swap("^(?:POST|PUT|DELETE) /v1", "GET /v1"), container=True),
    "closes without a word": broken("container-repeated", answered=on(CONTAINER, header("Connection", "keep-alive")), container=True),
    "chunks of credentials": broken("container-framing", answered=on(CONTAINER, _chunked), container=True),
}
