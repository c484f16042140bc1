"""A stand-in for the SSO portal, SSO-OIDC and signin (``aws login``), which no emulator has; botocore is its client."""

from __future__ import annotations

import hashlib
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.fakes import SECRET_ACCESS_KEY, SESSION_TOKEN

if TYPE_CHECKING:
    from pathlib import Path

REFUSALS = {"revoked": (401, "UnauthorizedException"), "forbidden": (403, "ForbiddenException")}


class StandInSso:
    """Gives sessions for access tokens and new access tokens for refresh tokens; ``calls`` are the paths asked."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.calls))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def environment(self) -> dict[str, str]:
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return {"AWS_ENDPOINT_URL_SSO": url, "AWS_ENDPOINT_URL_SSO_OIDC": url, "AWS_ENDPOINT_URL_SIGNIN": url}

    def __enter__(self) -> StandInSso:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def sign_in(home: Path, name: str, *, left: timedelta | None, refresh_token: str = "good") -> None:  # noqa: S107 - made up
    """Write a profile with an SSO session of its own, and its token with so much ``left``; None writes no token."""
    config = home / ".aws" / "config"
    config.parent.mkdir(exist_ok=True)
    with config.open("a") as out:
        out.write(
            f"[sso-session {name}]\nsso_start_url = https://{name}.awsapps.com/start\nsso_region = eu-west-1\n"
            "sso_registration_scopes = sso:account:access\n"
            f"[profile {name}]\nsso_session = {name}\nsso_account_id = 111122223333\nsso_role_name = {name}\n"
        )
    if left is not None:
        write_token(home, name, left=left, refresh_token=refresh_token)


def write_token(home: Path, name: str, *, left: timedelta, refresh_token: str = "good") -> None:  # noqa: S107 - as above
    """Leave the token of an SSO session where ``aws sso login`` does."""
    token_file(home, name).parent.mkdir(parents=True, exist_ok=True)
    token = {
        "startUrl": f"https://{name}.awsapps.com/start",
        "region": "eu-west-1",
        "accessToken": f"token-of-{name}",
        "expiresAt": f"{datetime.now(UTC) + left:%Y-%m-%dT%H:%M:%SZ}",
        "clientId": "client",
        "clientSecret": SECRET_ACCESS_KEY,
        "registrationExpiresAt": "2099-01-01T00:00:00Z",
        "refreshToken": refresh_token,
    }
    token_file(home, name).write_text(json.dumps(token))


def token_file(home: Path, name: str) -> Path:
    """Return where the AWS CLI keeps the token of an SSO session."""
    digest = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
    return home / ".aws" / "sso" / "cache" / f"{digest}.json"


def log_in(home: Path, name: str, *, left: timedelta, refresh_token: str = "good") -> None:  # noqa: S107 - made up
    """Write a profile of ``aws login`` and what that command leaves, with so much ``left``."""
    session = f"arn:aws:iam::111122223333:user/{name}"
    config = home / ".aws" / "config"
    if name not in config.read_text():
        with config.open("a") as out:
            out.write(f"[profile {name}]\nlogin_session = {session}\nregion = eu-west-1\n")
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    token = {
        "accessToken": {
            "accessKeyId": "ASIALOGIN0",
            "secretAccessKey": SECRET_ACCESS_KEY,
            "sessionToken": SESSION_TOKEN,
            "accountId": "111122223333",
            "expiresAt": f"{datetime.now(UTC) + left:%Y-%m-%dT%H:%M:%SZ}",
        },
        "refreshToken": refresh_token,
        "clientId": "client",
        "dpopKey": key.decode(),
    }
    cache = home / ".aws" / "login" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / f"{hashlib.sha256(session.encode()).hexdigest()}.json").write_text(json.dumps(token))


def _handler(calls: list[str]) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - three services in one
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            calls.append(urlsplit(self.path).path)
            role = dict(parse_qsl(urlsplit(self.path).query))["role_name"]
            if role in REFUSALS:
                self.answer(*REFUSALS[role], {"message": "no"})
            elif self.headers["x-amz-sso_bearer_token"] != f"token-of-{role}":
                self.answer(401, "UnauthorizedException", {"message": "not this token"})
            else:
                until = datetime.now(UTC) + timedelta(hours=1)
                given = {
                    "accessKeyId": f"ASIA{role.upper()}",
                    "secretAccessKey": SECRET_ACCESS_KEY,
                    "sessionToken": SESSION_TOKEN,
                    "expiration": int(until.timestamp() * 1000),
                }
                self.answer(200, "", {"roleCredentials": given})

        def do_POST(self) -> None:
            calls.append(self.path)
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/v1/token":
                self.login(body)
                return
            if body.get("refreshToken") == "good":
                self.answer(200, "", {"accessToken": "token-of-renewed", "expiresIn": 3600, "refreshToken": "good"})
            else:
                self.answer(400, "InvalidGrantException", {"error": "invalid_grant"})

        def login(self, body: dict[str, str]) -> None:
            assert self.headers["DPoP"], "a proof of possession is asked for"
            if body.get("refreshToken") != "good":
                self.answer(401, "AccessDeniedException", {"error": "TOKEN_EXPIRED", "message": "no"})
                return
            keys = {"accessKeyId": "ASIALOGIN1", "secretAccessKey": SECRET_ACCESS_KEY, "sessionToken": SESSION_TOKEN}
            given = {"accessToken": keys, "expiresIn": 900, "refreshToken": "good", "tokenType": "urn:aws:params"}
            self.answer(200, "", given)

        def answer(self, status: int, error: str, body: dict[str, object]) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            if error:
                self.send_header("x-amzn-ErrorType", error)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
