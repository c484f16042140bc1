"""Source ``{saml: …}``: a SAML assertion, as an identity provider posts it to AWS's sign-in page.

Where ``principal_arn`` is not configured, it is picked from the assertion: the pair that names the role.
Source: IAM user guide, "Configure SAML assertions for the authentication response" (attribute ``Role``).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from imds.aws import sts
from imds.aws.sources.evidence import read_evidence
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

    from imds.aws.clients import Clients
    from imds.core.credentials import Credentials
    from imds.core.roles import RoleSession

_ARN = r"arn:aws[a-z-]*:iam::\d{12}"
_PAIR = re.compile(
    rf"(?P<first>{_ARN}:(?:role|saml-provider)/[^\s<>,]+)\s*,\s*(?P<second>{_ARN}:(?:role|saml-provider)/[^\s<>,]+)"
)


def saml_exchange(
    *,
    clients: Clients,
    principal_arn: str | None,
    assertion_file: Path | None,
    assertion_command: Sequence[str] | None,
) -> Callable[[RoleSession, timedelta, datetime], Credentials]:
    """Return what gives the provider's assertion to STS."""

    def exchange(session: RoleSession, duration: timedelta, now: datetime) -> Credentials:
        assertion = "".join(read_evidence(file=assertion_file, command=assertion_command).split())
        principal = principal_arn or find_principal(assertion, session.role_arn)
        client = clients.make("sts", None)
        return sts.assume_role_with_saml(client, session, principal, assertion, duration, now)

    return exchange


def find_principal(assertion: str, role_arn: str) -> str:
    """Return the identity provider that a base64 assertion pairs with a role.

    The assertion is AWS's to verify; here it only says which ARN to send, so it is searched, not parsed as XML.

    Raises:
        CredentialsError: it does not name the role; the text says which roles it names.
    """
    try:
        text = base64.b64decode(assertion, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise CredentialsError(
            "InvalidIdentityToken", "the SAML assertion is not base64 of XML", action=Action.CONFIG
        ) from error
    offered = []
    for pair in _PAIR.finditer(text):
        role, principal = pair["first"], pair["second"]
        if ":saml-provider/" in role:
            role, principal = principal, role
        if role == role_arn:
            return principal
        offered.append(role)
    raise CredentialsError(
        "IDPRejectedClaim",
        f"the SAML assertion does not offer {role_arn}; it offers: {', '.join(offered) or 'no role'}",
        action=Action.DENIED,
    )
