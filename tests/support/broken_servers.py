"""What is broken in each of the broken servers, and the rules that tell it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

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
    where,
    without,
)

WRONG = rf"\r\n{SESSION}: (?:garbage|AQAEAx|\r\n)"
HTTP = r" HTTP/1\.[01]\r\n"
PAGE = b"<html>404</html>"


def _times_of_python(text: bytes) -> bytes:
    return re.sub(rb"(\d\d:\d\d:\d\d)Z", rb"\1.000+00:00", text)


def _soon_over(answer: Answer) -> Answer:
    return fields(Expiration=f"{datetime.now(UTC) + timedelta(minutes=20):%Y-%m-%dT%H:%M:%SZ}")(answer)


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
    proper = re.match(rb"[A-Z]+ \S+ HTTP/1", request)
    return raw if proper else raw.replace(b" 400 Bad Request", b" 500 Internal Server Error", 1)


def _lenient(request: bytes, raw: bytes) -> bytes:
    return raw.replace(b" 400 Bad Request", b" 200 OK", 1) if not re.search(HTTP.encode(), request) else raw


def _large(request: bytes, raw: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" if len(request) > 60_000 else raw


class Newest:
    """Lets only the newest session token in."""

    def __init__(self) -> None:
        self.token = b""

    def __call__(self, request: bytes, raw: bytes) -> bytes:
        if request.startswith(b"PUT ") and b" 200 OK" in raw[:20]:
            self.token = raw.partition(END)[2]
            return raw
        fine = b" 200 OK" not in raw[:20] or self.token in request
        return raw if fine else becomes("401 Unauthorized")(Answer.parse(raw)).raw


class Leaking:
    """Tells the role's credentials where anybody's hostname is."""

    def __init__(self) -> None:
        self.document = b""

    def __call__(self, request: bytes, raw: bytes) -> bytes:
        if request.startswith(f"GET {DOCUMENT} ".encode()):
            self.document = raw.partition(END)[2].strip(b"{")
        return on(f"{META}hostname", body(lambda _: b"{" + self.document[:-1]))(request, raw)


class Anybody:
    """Takes no notice of who asks for container credentials."""

    def __init__(self) -> None:
        self.token = b""

    def __call__(self, request: bytes) -> bytes:
        found = re.search(rb"\r\nAuthorization: (\S{20,})", request)
        self.token = self.token or (found[1] if found else b"")
        if not request.startswith(b"GET /v2/credentials/"):
            return request
        return without("Authorization")(request).replace(END, b"\r\nAuthorization: " + self.token + END, 1)


SERVERS: dict[str, Broken] = {
    # session tokens
    "gives no tokens": broken(
        "token-issued", answered=on(TOKEN, becomes("404 Not Found"), method="PUT"), mode="optional"
    ),
    "ends tokens with a line": broken(
        "token-bare", answered=on(TOKEN, only(200, body(lambda text: text + b"\n")), method="PUT")
    ),
    "longer tokens": broken(
        "token-shape",
        asked=swap(rf"(\r\n{SESSION}: )longer-", r"\1"),
        answered=on(TOKEN, only(200, body(lambda text: b"longer-" + text)), method="PUT"),
    ),
    "ends other tokens": broken("token-many", answered=Newest(), looked_at=("token-many", "token-issued")),
    "tells no TTL": broken("token-ttl-told", "token-header-order", answered=on(TOKEN, header(TTL, None), method="PUT")),
    "gives tokens for any TTL": broken(
        "token-ttl-zero", "token-ttl-too-long", "token-ttl-malformed", asked=swap(rf"(\r\n{TTL}:) [^\r]*", r"\1 60")
    ),
    "gives tokens without a TTL": broken(
        "token-ttl-missing", asked=swap(rf"^(PUT {TOKEN}{HTTP})", rf"\1{TTL}: 60\r\n")
    ),
    "refuses short TTLs": broken(
        "token-ttl-range", answered=where(rf"\r\n{TTL}: (?:1|5|10)\r\n", becomes("400 Bad Request"))
    ),
    "gives tokens through proxies": broken("token-forwarded", "get-forwarded", asked=without("X-Forwarded-For")),
    "gives tokens below dates": broken("token-dated-path", asked=swap(r"^PUT /2021-03-23", "PUT /latest")),
    "gives tokens for a GET": broken(
        "token-put-only", "token-methods", asked=swap(rf"^(?:GET|POST|DELETE) {TOKEN} ", f"PUT {TOKEN} ")
    ),
    "takes a PUT anywhere": broken(
        "token-put-elsewhere", "read-only-methods", asked=swap(rf"^PUT {META} ", f"GET {META} ")
    ),
    "knows headers in one case": broken(
        "token-header-case",
        "get-token-header-case",
        asked=swap(
            rf"\r\n(?:{TTL.lower()}|{TTL.upper()}|{SESSION.lower()}|{SESSION.upper()}):", "\r\nX-Other:", case=True
        ),
    ),
    "trips over what comes with a PUT": broken(
        "token-body-optional",
        "token-body-chunked",
        "token-expect",
        "token-with-token",
        "token-ttl-blanks",
        answered=each(
            where(
                rf"^PUT (?s:.)*\r\n(?:Content-Length|Transfer-Encoding|Expect|{SESSION}):",
                becomes("411 Length Required"),
            ),
            where(rf"\r\n{TTL}:  ", becomes("400 Bad Request")),
        ),
        also=("answers",),
    ),
    # what they open
    "404 for a wrong token": broken(
        "get-invalid-token",
        "get-invalid-token-everywhere",
        answered=where(WRONG, only(401, becomes("404 Not Found"))),
    ),
    "takes any token": broken(
        "get-invalid-token", "get-invalid-token-everywhere", mode="optional", asked=without(SESSION)
    ),
    "wants no token": broken("http-tokens", mode="optional", declared="required"),
    "wants a token on some paths": broken(
        "get-without-token",
        answered=where(rf"^GET /latest/ HTTP/1\.1(?!(?s:.)*{SESSION})", becomes("200 OK", b"dynamic\nmeta-data")),
    ),
    "never forgets": broken(
        "get-expired-token", asked=swap(rf"(\r\n{TTL}: )1\r", r"\g<1>60\r"), slow=True, looked_at=("get-expired-token",)
    ),
    "tells no remaining TTL": broken("get-remaining-ttl", answered=on(EVERY, header(TTL, None))),
    "tells a TTL without a token": broken(
        "get-no-ttl-without-token",
        mode="optional",
        answered=where(rf"^GET (?!(?s:.)*{SESSION}:)", extra(TTL.title(), "60")),
    ),
    "writes why it is 401": broken(
        "unauthorized-empty",
        "error-bodies",
        answered=on(EVERY, only(401, body(lambda _: b"Unauthorized"))),
    ),
    "tokens go out": broken(
        "get-with-token",
        "get-token-reused",
        answered=where(rf"^GET (?s:.)*\r\n{SESSION}: \S{{50}}", becomes("401 Unauthorized")),
        looked_at=("sessions",),
    ),
    # how answers are written
    "chunks": broken("content-length", "no-chunks", answered=on(f"{META}|{ROLES}", only(200, _chunked))),
    "other headers": broken(
        "server",
        "date",
        "header-case",
        "resource-headers",
        answered=on(
            EVERY,
            chain(header("Server", "nginx"), header("Date", None), header("Accept-Ranges", None), _lower_case),
            method="GET|PUT",
        ),
    ),
    "a charset": broken(
        "content-type",
        "unauthorized-empty",
        answered=on(EVERY, header("Content-Type", "text/plain; charset=utf-8")),
    ),
    "a header twice": broken("headers-once", answered=on(META, extra("Server", "EC2ws"))),
    "HTTP/2 in the status line": broken(
        "status-line",
        answered=on(f"{META}no-such-thing", lambda answer: Answer("HTTP/1.1 404", answer.headers, answer.body)),
    ),
    "headers in another order": broken("token-header-order", answered=on(TOKEN, _in_reverse, method="PUT")),
    "keeps connections": broken(
        "connection-close",
        slow=True,
        looked_at=("connection-close",),
        keeps_open=True,
        answered=on(EVERY, header("Connection", "keep-alive"), method="GET|PUT"),
    ),
    "ranges": broken(
        "range-ignored",
        answered=where(
            r"\r\nRange:",
            lambda answer: body(lambda text: text[:4])(
                Answer("HTTP/1.1 206 Partial Content", answer.headers, answer.body)
            ),
        ),
    ),
    "slow": broken("prompt", slow=True, looked_at=("prompt",), answered=on(ROLES, late(0.6))),
    "words in errors": broken(
        "error-bodies", "not-found-page", answered=on(EVERY, only(404, body(lambda _: b"not found")))
    ),
    "200 for what is not there": broken(
        "not-found",
        "version-unknown",
        "leaf-has-no-children",
        "dot-segments",
        "path-case",
        "role-unknown",
        "spot-idle",
        answered=on(EVERY, only(404, becomes("200 OK", PAGE))),
        also=(
            "answers",
            "paths",
            "listings",
        ),
    ),
    "a body for HEAD": broken("head", answered=_body_for_head),
    "writes what is posted": broken(
        "read-only", "read-only-methods", asked=swap(rf"^(?:POST|DELETE|PATCH) {META} ", f"GET {META} ")
    ),
    # paths
    "redirects": broken(
        "listing-without-slash",
        answered=on(r"/latest/(?:dynamic|meta-data|meta-data/.*[sct])", chain(becomes("301 Moved Permanently"))),
        looked_at=("listing-without-slash",),
    ),
    "404 with a slash": broken("leaf-with-slash", answered=on(f"{META}instance-id/", becomes("404 Not Found", PAGE))),
    "counts slashes": broken(
        "slashes",
        "token-path-slashes",
        "container-slashes",
        answered=on("/.*//.*|//.*", becomes("404 Not Found", PAGE), method="GET|PUT"),
        container=True,
    ),
    "encoded paths": broken("percent-encoding", "role-encoded", answered=on(".*%.*", becomes("404 Not Found", PAGE))),
    "decodes twice": broken("percent-encoding", asked=swap("%252D", "-")),
    "directions": broken("dot-segments", asked=swap(r"\.\./meta-data/|\./(?=instance-id)", "")),
    "no case": broken("path-case", asked=swap(r"^GET (?:/LATEST/meta-data/|/latest/META-DATA/) ", f"GET {META} ")),
    "reads queries": broken("query-ignored", answered=on(r".*\?.*", becomes("404 Not Found", PAGE))),
    "paths only": broken("absolute-target", answered=on("http://127.*", becomes("404 Not Found", PAGE))),
    "a list of versions as HTML": broken(
        "versions", "versions-known", "versions-answer", answered=on("/", body(lambda _: b"1.0\n2999-01-01\nlatest\n"))
    ),
    "one version": broken("version-unknown", asked=swap(r"^GET /(?:2999-01-01|newest)/", "GET /latest/")),
    # listings
    "no root": broken(
        "root-listing",
        answered=on("/latest/?", becomes("404 Not Found", PAGE)),
        looked_at=("root-listing", "instance-id"),
    ),
    "ends listings with a line": broken(
        "listing-format", answered=on(f"{META}placement/", body(lambda text: text + b"\n")), also=("paths",)
    ),
    "lists what is not there": broken(
        "listing-children", answered=on(f"{META}placement/", body(lambda text: text + b"\nnothing")), also=("paths",)
    ),
    "lists as it likes": broken(
        "listing-sorted",
        "leaves-always-there",
        answered=on(
            META, body(lambda text: b"\n".join(text.replace(b"services/\n", b"").split(b"\n")[::-1])), method="GET"
        ),
        also=("answers", "paths"),
    ),
    "ends leaves with a line": broken(
        "leaf-format",
        "instance-id",
        answered=on(f"{META}(?:instance-id|hostname)/?", body(lambda text: text + b"\n")),
        also=("identity", "paths"),
    ),
    "half of JSON": broken(
        "leaf-json",
        "identity-credentials",
        answered=on(f"{META}identity-credentials/ec2/info", body(lambda text: text[:-2])),
    ),
    "another region": broken(
        "region",
        "identity-agrees",
        answered=on(f"{META}placement/region", body(lambda _: b"us-east-1")),
    ),
    "another address": broken(
        "addresses", "identity-agrees", answered=on(f"{META}local-ipv4", body(lambda _: b"here"))
    ),
    "always about to end": broken("spot-idle", answered=on(f"{META}spot/.*", becomes("200 OK", b"{}"))),
    "user data of another type": broken(
        "user-data", answered=on("/latest/user-data/?", becomes("200 OK", b"#!/bin/sh"))
    ),
    "public keys by name": broken(
        "public-keys",
        answered=each(
            on(META, body(lambda text: text + b"\npublic-keys/")),
            on(f"{META}public-keys/", becomes("200 OK", b"my-key")),
        ),
        looked_at=("public-keys",),
    ),
    # the role
    "two roles": broken(
        "role-list", answered=on(ROLES, body(lambda text: text + b"\nother")), also=("listings", "paths")
    ),
    "another role": broken(
        "role-meant",
        answered=on(ROLES, body(lambda _: b"other")),
        asked=swap("security-credentials/other", "security-credentials/app"),
        also=("paths",),
    ),
    "no role": broken(
        "no-role", "role-meant", answered=on(ROLES, becomes("403 Forbidden", PAGE)), looked_at=("credentials",)
    ),
    "a document that is none": broken("role-document", answered=on(DOCUMENT, body(lambda _: b"Success"))),
    "a document without a token": broken("role-document", "role-layout", answered=on(DOCUMENT, fields(Token=None))),
    "Failed": broken(
        "role-code",
        "role-type",
        "role-access-key",
        answered=on(DOCUMENT, fields(Code="Failed", Type="hmac", AccessKeyId="key")),
    ),
    "times as Python writes them": broken(
        "role-times", "role-not-expired", answered=on(DOCUMENT, body(_times_of_python))
    ),
    "expired credentials": broken(
        "role-not-expired",
        "role-last-updated",
        answered=on(DOCUMENT, fields(Expiration="2020-01-01T00:00:00Z", LastUpdated="2099-01-01T00:00:00Z")),
    ),
    "short sessions": broken("role-lifetime", answered=on(DOCUMENT, _soon_over)),
    "a container's document": broken(
        "role-no-arn", "role-layout", answered=on(DOCUMENT, fields(RoleArn="arn:aws:iam::111122223333:role/app"))
    ),
    "the role's for any name": broken("role-unknown", asked=swap("no-such-role-x+", "app")),
    "an extended list without documents": broken(
        "role-extended",
        answered=on(f"{META}iam/security-credentials-extended/.*", becomes("500 Internal Server Error")),
    ),
    "another profile": broken(
        "iam-info",
        "identity-account",
        answered=on(f"{META}iam/info", fields(InstanceProfileArn="arn:aws:iam::999999999999:instance-profile/x")),
    ),
    "iam with more": broken(
        "iam-listing", "listing-children", answered=on(f"{META}iam/", body(lambda _: b"info\nsecurity-credentials/\nx"))
    ),
    "secrets elsewhere": broken("no-secrets", "leaf-json", answered=Leaking()),
    # the identity document
    "no identity": broken("identity-document", answered=on(IDENTITY, fields(accountId=111122223333))),
    "another layout": broken("identity-layout", answered=on(IDENTITY, fields(version="2010-08-31"))),
    "another time": broken("identity-time", answered=on(IDENTITY, fields(pendingTime="now"))),
    "armour": broken(
        "identity-signatures",
        answered=on(
            "/latest/dynamic/instance-identity/(?:signature|pkcs7|rsa2048)",
            body(lambda text: b"-----BEGIN-----\n" + text),
        ),
    ),
    # guards
    "its own name only": broken(
        "host-any",
        "host-names",
        answered=where(r"\r\nHost: (?:127\.0\.0\.1|169[0-9.]+)\r\n", becomes("400 Bad Request")),
    ),
    "HTTP/1.1 only": broken("http-1.0", answered=where(r" HTTP/1\.0\r\n", becomes("505 HTTP Version Not Supported"))),
    "wary of clients": broken(
        "client-headers", answered=where(r"\r\nAmz-Sdk-Invocation-Id:", becomes("403 Forbidden"))
    ),
    "CORS": broken(
        "no-cors", "container-no-cors", answered=on(EVERY, extra("Access-Control-Allow-Origin", "*")), container=True
    ),
    "open to web pages": broken(
        "foreign-host",
        "web-origin",
        "web-referer",
        "web-fetch",
        "container-web",
        asked=without("Origin", "Referer", "Sec-Fetch-Site", "Host"),
        container=True,
    ),
    "open to whole URLs": broken("foreign-target", asked=swap("http://example.com/", "/")),
    # hostile input
    "crashes": broken("malformed", answered=_crashes),
    "lenient": broken("malformed-refused", answered=_lenient),
    "takes what is large": broken("oversize", answered=_large),
    "smuggles": broken(
        "ambiguous", asked=without("Content-Length", "Transfer-Encoding ?", r"X-None"), also=("tokens",)
    ),
    "pipelines": broken("pipelining", answered=_pipelined),
    "reads behind a request": broken("get-body", answered=_reads_what_is_behind),
    "twelve clients": broken("idle-clients", "many-clients", most=12, looked_at=("idle-clients", "many-clients")),
    # container credentials
    "credentials for anybody": broken(
        "container-no-token", "container-wrong-token", "container-errors", asked=Anybody(), container=True
    ),
    "a container document of EC2's": broken(
        "container-document",
        "container-time",
        "container-role-arn",
        "container-account",
        "container-content-type",
        answered=on(
            CONTAINER,
            only(
                200,
                chain(
                    fields(Token=None, RoleArn=None, AccountId="1", Expiration="2020-01-01T00:00:00Z"),
                    header("Content-Type", "text/plain"),
                ),
            ),
        ),
        container=True,
    ),
    "any container path": broken(
        "container-unknown-path",
        asked=swap(r"^(GET /v2/credentials/\S*)/no-such-thing", r"\1"),
        container=True,
    ),
    "writes credentials": broken(
        "container-methods", asked=swap("^(?:POST|PUT|DELETE) (/v2/cred)", r"GET \1"), container=True
    ),
    "closes without a word": broken("container-repeated", closes=True, container=True),
    "chunks of credentials": broken("container-framing", answered=on(CONTAINER, _chunked), container=True),
}
