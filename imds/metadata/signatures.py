"""Signs identity documents as EC2 does, with a key of our own: nobody who trusts AWS's certificates is deceived.

Runs as a program of its own, JSON from standard input to standard output, because what signs (cryptography) would
stay in the daemon's memory for the sake of a few signatures in its life.

Source: EC2 user guide, "Verify the instance identity document": ``signature`` is RSA with SHA-256 over the document;
``pkcs7`` and ``rsa2048`` are CMS with the document in it, all three base64 without armour. EC2's ``pkcs7`` is DSA.
"""

from __future__ import annotations

import base64
import json
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from typing import Any

LIVES = timedelta(days=3650)
NAME = "imds instance identity (not AWS)"
WIDTH = 76


def main() -> None:
    """Sign every document of the request; where there is no key, or its certificate is nearly over, make one."""
    from cryptography import x509  # noqa: PLC0415 - this is the program that exists for it
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - likewise
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - likewise
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - likewise

    request = json.load(sys.stdin)
    now = datetime.now(UTC)
    key: Any = None
    certificate: Any = None
    try:
        key = serialization.load_pem_private_key(request["key"].encode(), password=None)
        certificate = x509.load_pem_x509_certificate(request["certificate"].encode())
        over = certificate.not_valid_after_utc < now + timedelta(days=30) or not isinstance(key, rsa.RSAPrivateKey)
    except (AttributeError, TypeError, ValueError, UnsupportedAlgorithm):  # none yet, damaged, or none of ours
        over = True
    if over:
        key, certificate = new_identity(now)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    answer = {
        "key": private.decode(),
        "certificate": certificate.public_bytes(serialization.Encoding.PEM).decode(),
        "signatures": [sign(document, key, certificate) for document in request["documents"]],
    }
    json.dump(answer, sys.stdout)


def new_identity(now: datetime) -> tuple[Any, Any]:
    """Return a new key and its certificate, valid from ``now``."""
    from cryptography import x509  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - as above

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LIVES)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
    )
    return key, builder.sign(key, hashes.SHA256())


def sign(document: str, key: Any, certificate: Any) -> dict[str, str]:  # noqa: ANN401 - cryptography's, imported late
    """Return ``signature``, ``pkcs7`` and ``rsa2048`` of a document."""
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.serialization import Encoding, pkcs7  # noqa: PLC0415 - as above

    content = document.encode()
    signature = key.sign(content, padding.PKCS1v15(), hashes.SHA256())
    signer = pkcs7.PKCS7SignatureBuilder().set_data(content).add_signer(certificate, key, hashes.SHA256())
    message = signer.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.NoCapabilities])
    signed = _base64(message)
    return {"signature": _base64(signature), "pkcs7": signed, "rsa2048": signed}


def _base64(content: bytes) -> str:
    return textwrap.fill(base64.b64encode(content).decode(), WIDTH)


if __name__ == "__main__":
    main()
