"""Source ``{saml: …}``: a SAML assertion, as an identity provider posts it to AWS's sign-in page.

The role and the provider's ARN are picked from the assertion, which offers them in pairs.
Source: IAM user guide, "Configure SAML assertions for the authentication response" (attribute ``Role``).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from imds.aws import sts
from imds.aws.federated import Federation
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta

    from imds.aws.clients import Clients
    from imds.aws.sources.evidence import EvidenceReader
    from imds.core.credentials import Credentials
    from imds.core.roles import RoleSession

Offer = tuple[str, str]
"""The ARN of a role, and of the identity provider that it trusts."""

_ARN = r"arn:aws[a-z-]*:iam::\d{12}:(?:role|saml-provider)/[^\s<>,]+"
_PAIR = re.compile(rf"({_ARN})\s*,\s*({_ARN})")


def saml_federation(clients: Clients, assertion: EvidenceReader, principal_arn: str | None) -> Federation:
    """Return what gives the provider's assertion to STS."""

    def read() -> str:
        text = "".join(assertion.read().split())  # base64, in lines or not
        decoded(text)
        return text

    def assume(evidence: str, session: RoleSession, duration: timedelta, now: datetime) -> Credentials:
        if session.role_arn is not None and principal_arn is not None:
            offer = session.role_arn, principal_arn
        else:
            offer = pick_offer(evidence, session.role_arn)
        return sts.assume_role_with_saml(clients.sts(None), session, offer, evidence, duration, now)

    return Federation(read=read, assume=assume)


def decoded(assertion: str) -> str:
    """Return the XML of a base64 assertion.

    Raises:
        CredentialsError: it is none; only a new one helps.
    """
    try:
        return base64.b64decode(assertion, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise CredentialsError(
            "InvalidIdentityToken", "the SAML assertion is not base64 of XML", action=Action.REAUTHENTICATE
        ) from error


def pick_offer(assertion: str, role_arn: str | None) -> Offer:
    """Return the pair for ``role_arn`` in a base64 assertion, the only pair for None.

    The assertion is AWS's to verify; here it only says which ARNs to send, so it is searched, not parsed as XML.

    Raises:
        CredentialsError: there is no such pair; the text says which roles are offered.
    """
    offered = dict(_offers(decoded(assertion)))
    if role_arn in offered:
        return role_arn, offered[role_arn]
    if role_arn is None and len(offered) == 1:
        return next(iter(offered.items()))
    if not offered:
        what = "offers no role"
    elif role_arn is None:
        what = f"leaves the choice: name one as role_arn; it offers {', '.join(offered)}"
    else:
        what = f"does not offer {role_arn}; it offers {', '.join(offered)}"
    raise CredentialsError("RoleNotOffered", f"the SAML assertion {what}", action=Action.DENIED)


def _offers(text: str) -> Iterator[Offer]:
    for one, other in _PAIR.findall(text):
        first_is_role = ":role/" in one
        if first_is_role != (":role/" in other):
            yield (one, other) if first_is_role else (other, one)
