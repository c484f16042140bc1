"""Identity providers: a real OIDC issuer (oauth2-mock-server), and a SAML provider that signs (signxml)."""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.parse
import urllib.request
import uuid
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from lxml import etree
from signxml import CanonicalizationMethod, XMLSigner, XMLVerifier

from support.clients import PROGRAMS, client_node
from support.emulators import free_port

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
DSIG = "http://www.w3.org/2000/09/xmldsig#"
ATTRIBUTE = "https://aws.amazon.com/SAML/Attributes/"


class OidcIssuer:
    """oauth2-mock-server as a process; ``token`` gives a signed JWT."""

    def __enter__(self) -> OidcIssuer:
        node = client_node("oauth2-mock-server")
        self.port = free_port()
        program = PROGRAMS / "node_modules" / ".bin" / "oauth2-mock-server"
        self._process = subprocess.Popen(
            [node, str(program), "-a", "127.0.0.1", "-p", str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = monotonic() + 30
        while True:
            try:
                self.token("probe")
            except OSError:
                assert monotonic() < deadline, "the issuer does not listen"
                sleep(0.05)  # another program's start; there is nothing to wait on
            else:
                return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)

    @property
    def name(self) -> str:
        """The issuer without its scheme, as IAM has it."""
        return f"localhost:{self.port}"

    def token(self, audience: str) -> str:
        """Return a token for ``audience``."""
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": "x", "aud": audience}).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/token", data=form, timeout=5) as response:
            return json.loads(response.read())["access_token"]


class SamlProvider:
    """Signs assertions as an identity provider does."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(self._key, hashes.SHA256())
        )
        self._certificate = certificate.public_bytes(serialization.Encoding.PEM).decode()

    def assertion(self, *offers: str) -> bytes:
        """Return the base64 of a signed response that offers pairs of role and provider."""
        values = "".join(f"<saml:AttributeValue>{offer}</saml:AttributeValue>" for offer in offers)
        now = datetime.now(UTC)
        identifier = f"_{uuid.uuid4().hex}"
        until = f"{now + timedelta(minutes=5):%Y-%m-%dT%H:%M:%SZ}"
        text = (
            f'<saml:Assertion xmlns:saml="{SAML}" Version="2.0" ID="{identifier}" '
            f'IssueInstant="{now:%Y-%m-%dT%H:%M:%SZ}"><saml:Issuer>https://idp.example</saml:Issuer>'
            f'<ds:Signature xmlns:ds="{DSIG}" Id="placeholder"/>'
            "<saml:Subject><saml:NameID>alice</saml:NameID></saml:Subject>"
            f'<saml:Conditions NotOnOrAfter="{until}"/><saml:AttributeStatement>'
            f'<saml:Attribute Name="{ATTRIBUTE}Role">{values}</saml:Attribute>'
            f'<saml:Attribute Name="{ATTRIBUTE}RoleSessionName">'
            "<saml:AttributeValue>alice</saml:AttributeValue></saml:Attribute>"
            "</saml:AttributeStatement></saml:Assertion>"
        )
        key = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        # canonical without regard to what is around it, since it goes into a response
        signer = XMLSigner(c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0)
        signed = signer.sign(etree.fromstring(text), key=key, cert=self._certificate, reference_uri=identifier)
        response = etree.Element("{urn:oasis:names:tc:SAML:2.0:protocol}Response")
        response.append(signed)
        return base64.encodebytes(etree.tostring(response))

    def verify(self, assertion: str) -> None:
        """Fail unless an assertion is as it was signed."""
        response = etree.fromstring(base64.b64decode(assertion))
        XMLVerifier().verify(response[0], x509_cert=self._certificate)
