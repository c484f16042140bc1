"""``{saml: {assertion_command: […]}}`` or ``assertion_file``: a SAML assertion."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from imds.config.sources.kind import SET_BY_PROVIDER, SourceKind
from imds.config.sources.reading import Evidence, read_evidence

if TYPE_CHECKING:
    from pathlib import Path

    from imds.config.document import Node

PROVIDER_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:saml-provider/[\w+=,.@/-]{1,256}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class FromSaml(SourceKind):
    """A SAML assertion, with which a role that it offers is assumed; ``principal_arn`` None is picked from it."""

    kind = "saml"
    names_session = True
    not_taken = MappingProxyType({**SET_BY_PROVIDER, "role_session_name": SET_BY_PROVIDER["tags"]})
    assertion: Evidence
    principal_arn: str | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The assertion's file."""
        return self.assertion.files

    @property
    def programs(self) -> tuple[str, ...]:
        """The program that prints it."""
        return self.assertion.programs

    @property
    def waits_for(self) -> str:
        """Whoever writes or prints it signs in again."""
        return f"a new assertion {self.assertion}"

    def __str__(self) -> str:
        return f"the SAML assertion {self.assertion}"


def read_saml(node: Node) -> FromSaml | None:
    """Return the value of ``saml``."""
    entries = node.section("assertion_file", "assertion_command", "principal_arn")
    assertion = read_evidence(node, entries, "assertion")
    what = "a SAML provider's ARN (arn:aws:iam::123456789012:saml-provider/NAME)"
    principal = entries["principal_arn"].matching(PROVIDER_ARN, what) if "principal_arn" in entries else None
    return FromSaml(assertion=assertion, principal_arn=principal) if assertion else None
