"""``{cognito: {identity_pool_id: …, logins: {PROVIDER: {token_file: …}}}}``: a Cognito identity pool."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imds.config.sources.kind import SET_BY_PROVIDER, SourceKind
from imds.config.sources.reading import Evidence, missing, read_evidence
from imds.core.roles import ROLE_ARN

if TYPE_CHECKING:
    from pathlib import Path

    from imds.config.document import Node

IDENTITY_POOL_ID = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d+:[0-9a-f-]{36}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FromCognito(SourceKind):
    """An identity pool that gives credentials itself (enhanced flow)."""

    kind = "cognito"
    temporary = True
    identity_pool_id: str
    logins: tuple[tuple[str, Evidence], ...] = ()
    custom_role_arn: str | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the logins."""
        return tuple(file for _, login in self.logins for file in login.files)

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs of the logins."""
        return tuple(program for _, login in self.logins for program in login.programs)

    @property
    def waits_for(self) -> str:
        """Whoever writes or prints the logins signs in again."""
        return f"a new login {', '.join(str(login) for _, login in self.logins)}".rstrip()

    def __str__(self) -> str:
        return f"identity pool {self.identity_pool_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FromCognitoToken(FromCognito):
    """An identity pool that gives a token, with which a role is assumed (classic flow)."""

    temporary = False
    needs_role = True
    not_taken = SET_BY_PROVIDER


def read_cognito(node: Node) -> FromCognito | None:
    """Return the value of ``cognito``."""
    entries = node.section("identity_pool_id", "logins", "custom_role_arn", "flow")
    if missing(node, entries, "identity_pool_id"):
        return None
    pool = entries["identity_pool_id"].matching(IDENTITY_POOL_ID, "an identity pool's id (REGION:UUID)")
    logins = entries["logins"].mapping() if "logins" in entries else {}
    evidence = {
        provider: read_evidence(login, login.section("token_file", "token_command"), "token")
        for provider, login in logins.items()
    }
    custom = entries["custom_role_arn"].matching(ROLE_ARN, "a role's ARN") if "custom_role_arn" in entries else None
    flow = entries["flow"].one_of("enhanced", "classic") if "flow" in entries else "enhanced"
    if custom is not None and flow == "classic":
        entries["custom_role_arn"].wrong("belongs to the enhanced flow; the classic flow assumes role_arn")
    if custom is not None and not logins and flow != "classic":
        entries["custom_role_arn"].wrong("needs logins: a guest has the pool's role for guests")
    if pool is None or None in evidence.values():
        return None
    read = tuple((provider, login) for provider, login in evidence.items() if login is not None)
    if flow == "classic":
        return FromCognitoToken(identity_pool_id=pool, logins=read)
    return FromCognito(identity_pool_id=pool, logins=read, custom_role_arn=custom)
