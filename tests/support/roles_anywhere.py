"""A stand-in for IAM Roles Anywhere that believes nothing: it verifies the signature as AWS's documentation says.

Source: IAM Roles Anywhere user guide, "Signing process for the CreateSession API". Written from the server's side, so
that it shares no line with what it checks.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from support.fakes import SECRET_ACCESS_KEY, SESSION_TOKEN

AUTHORIZATION = re.compile(
    r"(?P<algorithm>AWS4-X509-(?:RSA|ECDSA)-SHA256) "
    r"Credential=(?P<serial>\d+)/(?P<scope>\d{8}/[a-z0-9-]+/rolesanywhere/aws4_request), "
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]+)"
)


class RolesAnywhere:
    """Gives sessions to whoever signs with a certificate of ``authority``; keeps what was asked."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.asked: list[dict[str, object]] = []
        self.refused: list[str] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, answer = service.answer(self.path, dict(self.headers.items()), body)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                if status >= 400:
                    self.send_header("x-amzn-ErrorType", "AccessDeniedException:http://internal.amazon.com/coral/")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self) -> RolesAnywhere:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, object]]:
        """Return status and JSON for a request."""
        try:
            self.verify(path, {name.lower(): value for name, value in headers.items()}, body)
        except (AssertionError, InvalidSignature, ValueError) as error:
            self.refused.append(repr(error))
            return 403, {"message": "Untrusted certificate or signature."}
        self.asked.append(json.loads(body))
        expiration = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        keys = {
            "accessKeyId": f"ASIA{len(self.asked):016d}",
            "secretAccessKey": SECRET_ACCESS_KEY,
            "sessionToken": SESSION_TOKEN,
            "expiration": expiration,
        }
        return 201, {"credentialSet": [{"credentials": keys}], "subjectArn": "arn:aws:rolesanywhere:…"}

    def verify(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """Check date, certificate, chain and signature."""
        found = AUTHORIZATION.fullmatch(headers["authorization"])
        assert found is not None, "malformed Authorization"
        own = x509.load_der_x509_certificate(base64.b64decode(headers["x-amz-x509"]))
        assert str(own.serial_number) == found["serial"], "serial"
        signed_at = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        assert abs(datetime.now(UTC) - signed_at) < timedelta(minutes=5), "date"
        assert own.not_valid_before_utc <= signed_at <= own.not_valid_after_utc, "validity"
        sent = [base64.b64decode(der) for der in headers.get("x-amz-x509-chain", "").split(",") if der]
        links = [own, *map(x509.load_der_x509_certificate, sent), self.authority.certificate]
        for child, parent in itertools.pairwise(links):
            child.verify_directly_issued_by(parent)
        names = found["names"].split(";")
        assert {"host", "x-amz-date", "x-amz-x509"} <= set(names), "unsigned headers"
        lines = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
        canonical = f"POST\n{path}\n\n{lines}\n{found['names']}\n{hashlib.sha256(body).hexdigest()}"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"{found['algorithm']}\n{headers['x-amz-date']}\n{found['scope']}\n{digest}".encode()
        signature, key = bytes.fromhex(found["signature"]), own.public_key()
        if isinstance(key, rsa.RSAPublicKey):
            assert "RSA" in found["algorithm"]
            key.verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
        else:
            assert "ECDSA" in found["algorithm"]
            key.verify(signature, text, ec.ECDSA(hashes.SHA256()))


class Authority:
    """A certificate authority for tests; may be an intermediate of another."""

    def __init__(self, name: str = "root", parent: Authority | None = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        issuer = parent or self
        self.name = _name(name)
        self.certificate = _certificate(self.name, self.key, issuer, hashes.SHA256(), authority=True)

    def issue(self, folder, kind: str = "ec", algorithm: hashes.HashAlgorithm | None = None):
        """Write a certificate and its key as PEM; return both paths."""
        key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)
        certificate = _certificate(_name("server"), key, self, algorithm or hashes.SHA256(), authority=False)
        certificate_file, key_file = folder / "server.pem", folder / "server.key"
        certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate_file, key_file

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(subject, key, issuer: Authority, algorithm, *, authority: bool) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(issuer.key, algorithm)
    )
