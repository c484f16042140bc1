"""Source ``{roles_anywhere: …}``: a server's X.509 certificate, for IAM Roles Anywhere.

Needs the extra ``roles-anywhere`` (cryptography). Certificate and key are read at each renewal, so that a rotated pair
is used at once; keys in hardware stay with AWS's own helper as a ``process`` source.
Source of the signature: IAM Roles Anywhere user guide, "Signing process for the CreateSession API".
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session

from imds.core.credentials import Credentials
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

    from imds.core.roles import RoleSession

TIMEOUT = (3, 8)
"""Seconds to connect, and to read."""

DOMAINS = {"aws-cn": "amazonaws.com.cn"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustAnchor:
    """What CreateSession is told, and where the certificate is.

    Attributes:
        certificate: PEM; the first is ours, others are its intermediates.
        private_key: PEM, RSA or EC, not encrypted.
        chain: PEM of further intermediates.
    """

    trust_anchor_arn: str
    profile_arn: str
    certificate: Path
    private_key: Path
    chain: Path | None = None

    @property
    def endpoint(self) -> str:
        """The service's URL; ``AWS_ENDPOINT_URL_ROLESANYWHERE`` replaces it."""
        _, partition, _, region, *_ = self.trust_anchor_arn.split(":")
        domain = DOMAINS.get(partition, "amazonaws.com")
        return os.environ.get("AWS_ENDPOINT_URL_ROLESANYWHERE") or f"https://rolesanywhere.{region}.{domain}"

    @property
    def region(self) -> str:
        """The region of the trust anchor."""
        return self.trust_anchor_arn.split(":")[3]


def roles_anywhere_exchange(anchor: TrustAnchor) -> Callable[[RoleSession, timedelta, datetime], Credentials]:
    """Return what gives the certificate to Roles Anywhere."""

    def exchange(session: RoleSession, duration: timedelta, now: datetime) -> Credentials:
        body = json.dumps(
            {
                "durationSeconds": int(duration.total_seconds()),
                "profileArn": anchor.profile_arn,
                "roleArn": session.role_arn,
                "trustAnchorArn": anchor.trust_anchor_arn,
                "roleSessionName": session.role_session_name,
            }
        ).encode()
        status, answer = _post(anchor, _sign(anchor, body, now), body)
        return _credentials(status, answer, session, now)

    return exchange


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    """A certificate, its intermediates, and what signs with its key."""

    own: Certificate
    intermediates: list[Certificate]
    algorithm: str
    sign: Callable[[bytes], bytes] = field(repr=False)


def _read_identity(anchor: TrustAnchor) -> _Identity:
    try:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - an extra
        from cryptography.x509 import load_pem_x509_certificates  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise _wrong("the extra is missing: pip install 'imds-server[roles-anywhere]'") from error
    try:
        own, *intermediates = load_pem_x509_certificates(anchor.certificate.read_bytes())
        if anchor.chain is not None:
            intermediates += load_pem_x509_certificates(anchor.chain.read_bytes())
        key = load_pem_private_key(anchor.private_key.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise _wrong(f"{anchor.certificate} or {anchor.private_key} is not PEM of a certificate and its key") from error
    if own.public_key() != key.public_key():
        raise _wrong(f"{anchor.private_key} is not the key of {anchor.certificate}: half a rotation?", Action.RETRY)
    algorithm, sign = _signer(anchor, key)
    return _Identity(own=own, intermediates=intermediates, algorithm=algorithm, sign=sign)


def _signer(anchor: TrustAnchor, key: PrivateKeyTypes) -> tuple[str, Callable[[bytes], bytes]]:
    """Return AWS's name of the algorithm, which follows the key and not the hash of the certificate, and the signer."""
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - likewise

    if isinstance(key, rsa.RSAPrivateKey):
        rsa_key = key
        return "AWS4-X509-RSA-SHA256", lambda text: rsa_key.sign(text, padding.PKCS1v15(), SHA256())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        ec_key = key
        return "AWS4-X509-ECDSA-SHA256", lambda text: ec_key.sign(text, ec.ECDSA(SHA256()))
    raise _wrong(f"{anchor.private_key} is neither an RSA nor an EC key")


def _sign(anchor: TrustAnchor, body: bytes, now: datetime) -> dict[str, str]:
    """Return the signed headers of a CreateSession request made at ``now``."""
    identity = _read_identity(anchor)
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    headers = {
        "content-type": "application/json",
        "host": urlsplit(anchor.endpoint).netloc,
        "x-amz-date": moment,
        "x-amz-x509": _der(identity.own),
    }
    if identity.intermediates:
        headers["x-amz-x509-chain"] = ",".join(_der(certificate) for certificate in identity.intermediates)
    names = ";".join(sorted(headers))
    listed = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = f"POST\n/sessions\n\n{listed}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{moment[:8]}/{anchor.region}/rolesanywhere/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    signature = identity.sign(f"{identity.algorithm}\n{moment}\n{scope}\n{hashed}".encode()).hex()
    credential = f"{identity.own.serial_number}/{scope}"
    headers["authorization"] = (
        f"{identity.algorithm} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    )
    return headers


def _post(anchor: TrustAnchor, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
    """Send the request with botocore's HTTP session, which knows AWS's proxy and CA variables; blocks."""
    from botocore.utils import get_environ_proxies  # noqa: PLC0415 - used here only

    url = f"{anchor.endpoint.rstrip('/')}/sessions"
    settings: dict[str, Any] = {"verify": os.environ.get("AWS_CA_BUNDLE") or True, "timeout": TIMEOUT}
    http = URLLib3Session(proxies=get_environ_proxies(url), **settings)
    response = http.send(AWSRequest(method="POST", url=url, headers=headers, data=body).prepare())
    try:
        return response.status_code, json.loads(response.content)
    except ValueError as error:
        raise CredentialsError(
            "ResponseParserError", "the answer was not AWS's: is a proxy in between?", action=Action.RETRY
        ) from error


def _credentials(status: int, answer: Any, session: RoleSession, now: datetime) -> Credentials:  # noqa: ANN401 - JSON
    if status >= 400 or not isinstance(answer, dict):  # noqa: PLR2004 - HTTP's errors
        message = str(answer.get("message", "")) if isinstance(answer, dict) else ""
        action = Action.RETRY if status >= 500 or status == 429 else Action.DENIED  # noqa: PLR2004 - likewise
        raise CredentialsError("RolesAnywhere", message[:400] or f"HTTP {status}", action=action)
    given = answer["credentialSet"][0]["credentials"]
    return Credentials(
        access_key_id=given["accessKeyId"],
        secret_access_key=given["secretAccessKey"],
        session_token=given["sessionToken"],
        last_updated=now.replace(microsecond=0),
        expiration=datetime.fromisoformat(given["expiration"]).astimezone(UTC),
        account_id=session.role_arn.split(":")[4],
        arn=session.role_arn,
    )


def _der(certificate: Certificate) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415 - an extra

    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()


def _wrong(message: str, action: Action = Action.CONFIG) -> CredentialsError:
    return CredentialsError("RolesAnywhere", message, action=action)
