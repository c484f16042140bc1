"""Source ``{roles_anywhere: …}``: a server's X.509 certificate, for IAM Roles Anywhere.

Certificate and key are read at each renewal, so that a rotated pair
is used at once; keys in hardware stay with AWS's own helper as a ``process`` source.
Source of the signature: IAM Roles Anywhere user guide, "Signing process for the CreateSession API".
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from imds.aws.federated import Federation
from imds.aws.files import read_file
from imds.aws.sources.documents import ROLES_ANYWHERE, parse_json, read_credentials
from imds.core.credentials import Credentials
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

    from imds.aws.clients import Clients
    from imds.core.roles import RoleSession

TIMEOUT = (3, 8)
"""Seconds to connect, and to read."""

CREATED = 201
MOST_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """A server's certificate and key, and what CreateSession is told of them.

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
    def region(self) -> str:
        """The region of the trust certificates."""
        return self.trust_anchor_arn.split(":")[3]


def roles_anywhere_federation(certificates: Certificates, clients: Clients) -> Federation:
    """Return what gives the certificate to Roles Anywhere; ``clients`` knows the endpoint."""

    def assume(evidence: _Identity, session: RoleSession, duration: timedelta, now: datetime) -> Credentials:
        if (end := evidence.own.not_valid_after_utc) <= now:
            raise CredentialsError(
                "CertificateExpired",
                f"{certificates.certificate} ended at {end:%Y-%m-%d %H:%M:%S} UTC",
                action=Action.REAUTHENTICATE,
            )
        asked = {
            "durationSeconds": int(duration.total_seconds()),
            "profileArn": certificates.profile_arn,
            "roleArn": session.role_arn,
            "trustAnchorArn": certificates.trust_anchor_arn,
            "roleSessionName": session.role_session_name,  # taken only where the profile accepts one
        }
        body = json.dumps({name: value for name, value in asked.items() if value is not None}).encode()
        endpoint = clients.make("rolesanywhere", None, region=certificates.region).meta.endpoint_url
        answer = _post(clients, endpoint, _sign(evidence, endpoint, certificates.region, body, now), body)
        return _credentials(answer, session, now)

    return Federation(read=lambda: _read_identity(certificates), assume=assume)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    """A certificate, its intermediates, and what signs with its key."""

    own: Certificate
    intermediates: list[Certificate]
    algorithm: str
    sign: Callable[[bytes], bytes] = field(repr=False)


def _read_identity(certificates: Certificates) -> _Identity:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - heavy, rarely wanted
    from cryptography.x509 import load_pem_x509_certificates  # noqa: PLC0415 - likewise

    own, *intermediates = _read(certificates.certificate, load_pem_x509_certificates)
    if certificates.chain is not None:
        intermediates += _read(certificates.chain, load_pem_x509_certificates)
    key = _read(certificates.private_key, lambda pem: load_pem_private_key(pem, password=None))
    if own.public_key() != key.public_key():
        raise _wrong(
            f"{certificates.private_key} is not the key of {certificates.certificate}: half a rotation?", Action.RETRY
        )
    algorithm, sign = _signer(certificates, key)
    return _Identity(own=own, intermediates=intermediates, algorithm=algorithm, sign=sign)


def _read(path: Path, parse: Callable[[bytes], Any]) -> Any:  # noqa: ANN401 - certificates, or a key
    try:
        return parse(read_file(path, MOST_BYTES))
    except TypeError as error:
        raise _wrong(f"{path} is encrypted: a key must be readable without a password") from error
    except ValueError as error:
        raise _wrong(f"{path} is not PEM") from error


def _signer(certificates: Certificates, key: PrivateKeyTypes) -> tuple[str, Callable[[bytes], bytes]]:
    """Return AWS's name of the algorithm, which follows the key and not the hash of the certificate, and the signer."""
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - likewise

    if isinstance(key, rsa.RSAPrivateKey):
        rsa_key = key
        return "AWS4-X509-RSA-SHA256", lambda text: rsa_key.sign(text, padding.PKCS1v15(), SHA256())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        ec_key = key
        return "AWS4-X509-ECDSA-SHA256", lambda text: ec_key.sign(text, ec.ECDSA(SHA256()))
    raise _wrong(f"{certificates.private_key} is neither an RSA nor an EC key")


def _sign(identity: _Identity, endpoint: str, region: str, body: bytes, now: datetime) -> dict[str, str]:
    """Return the signed headers of a CreateSession request made at ``now``."""
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    headers = {
        "content-type": "application/json",
        "host": urlsplit(endpoint).netloc,
        "x-amz-date": moment,
        "x-amz-x509": _der(identity.own),
    }
    if identity.intermediates:
        headers["x-amz-x509-chain"] = ",".join(_der(certificate) for certificate in identity.intermediates)
    names = ";".join(sorted(headers))
    listed = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = f"POST\n/sessions\n\n{listed}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{moment[:8]}/{region}/rolesanywhere/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    signature = identity.sign(f"{identity.algorithm}\n{moment}\n{scope}\n{hashed}".encode()).hex()
    credential = f"{identity.own.serial_number}/{scope}"
    headers["authorization"] = (
        f"{identity.algorithm} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    )
    return headers


def _post(clients: Clients, endpoint: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """Send the request with botocore's HTTP session, which knows AWS's proxy and CA variables; blocks."""
    url = f"{endpoint.rstrip('/')}/sessions"
    settings: dict[str, Any] = {"verify": os.environ.get("AWS_CA_BUNDLE") or True, "timeout": TIMEOUT}
    http = URLLib3Session(proxies=get_environ_proxies(url), **settings)
    response = http.send(AWSRequest(method="POST", url=url, headers=headers, data=body).prepare())
    clients.note_time(response)
    if response.status_code != CREATED:
        raise _refusal(response)
    return parse_json(response.content, of="Roles Anywhere")


def _refusal(response: Any) -> ClientError:  # noqa: ANN401 - botocore's
    """Return AWS's refusal as botocore would raise it; the error's type is in a header."""
    code = str(response.headers.get("x-amzn-errortype", "RolesAnywhere")).partition(":")[0]
    try:
        message = str(json.loads(response.content)["message"])
    except (ValueError, LookupError, TypeError):
        message = ""
    said: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": response.status_code},
    }
    return ClientError(said, "CreateSession")


def _credentials(answer: dict[str, Any], session: RoleSession, now: datetime) -> Credentials:
    try:
        given = read_credentials(answer["credentialSet"][0]["credentials"], ROLES_ANYWHERE, of="Roles Anywhere")
    except (LookupError, TypeError, AttributeError):
        given = None
    if given is None or given.expiration is None or given.session_token is None or session.role_arn is None:
        raise CredentialsError("RolesAnywhere", "the answer holds no session", action=Action.RETRY)
    return Credentials(
        access_key_id=given.access_key_id,
        secret_access_key=given.secret_access_key,
        session_token=given.session_token,
        last_updated=now.replace(microsecond=0),
        expiration=given.expiration.replace(microsecond=0),
        account_id=session.role_arn.split(":")[4],
        arn=session.role_arn,
    )


def _der(certificate: Certificate) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415 - an extra

    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()


def _wrong(message: str, action: Action = Action.CONFIG) -> CredentialsError:
    return CredentialsError("RolesAnywhere", message, action=action)
