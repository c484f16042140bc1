"""What a role's ``source`` may be: one frozen value for each kind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_SESSION_TOKEN_DURATION = timedelta(hours=12)
DEFAULT_PROGRAM_TIMEOUT = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class FromProfile:
    """``{profile: NAME}``; None is AWS's default chain."""

    profile: str | None

    def __str__(self) -> str:
        return f"profile {self.profile}" if self.profile else "the default credentials"


@dataclass(frozen=True, slots=True, kw_only=True)
class FromRole:
    """``{role: NAME}``: another role of the same configuration."""

    role: str

    def __str__(self) -> str:
        return f"role {self.role}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FromKeys:
    """``{keys: environment}`` (None) or ``{keys: {file: PATH}}``."""

    file: Path | None

    def __str__(self) -> str:
        return f"keys in {self.file}" if self.file else "keys in the environment"


@dataclass(frozen=True, slots=True, kw_only=True)
class FromProcess:
    """``{process: {command: […], timeout: 20s}}``."""

    command: tuple[str, ...]
    timeout: timedelta = DEFAULT_PROGRAM_TIMEOUT

    def __str__(self) -> str:
        return f"what {self.command[0]} prints"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A token or an assertion: in a file, or printed by a program."""

    file: Path | None = None
    command: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return str(self.file) if self.command is None else f"what {self.command[0]} prints"


@dataclass(frozen=True, slots=True, kw_only=True)
class FromWebIdentity:
    """``{web_identity: {token_file: PATH}}`` or ``token_command``."""

    token: Evidence

    def __str__(self) -> str:
        return f"the OIDC token in {self.token}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FromSaml:
    """``{saml: {assertion_command: […]}}`` or ``assertion_file``; ``principal_arn`` where it cannot be picked."""

    assertion: Evidence
    principal_arn: str | None = None

    def __str__(self) -> str:
        return f"the SAML assertion in {self.assertion}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FromCognito:
    """``{cognito: {identity_pool_id: …, logins: {PROVIDER: {token_file: …}}}}``; ``classic`` is the classic flow."""

    identity_pool_id: str
    logins: tuple[tuple[str, Evidence], ...] = ()
    custom_role_arn: str | None = None
    classic: bool = False

    def __str__(self) -> str:
        return f"identity pool {self.identity_pool_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FromInstanceMetadata:
    """``{instance_metadata: {endpoint: URL}}``."""

    endpoint: str

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return address_of(self.endpoint)

    def __str__(self) -> str:
        return f"the instance metadata at {self.endpoint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FromContainer:
    """``{container: {url: URL, token_file: PATH}}``."""

    url: str
    token_file: Path | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return address_of(self.url)

    def __str__(self) -> str:
        return f"the container credentials at {self.url}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FromSessionToken:
    """``{session_token: {profile: NAME, duration: 12h}}``: GetSessionToken."""

    keys: FromProfile | FromKeys
    duration: timedelta = DEFAULT_SESSION_TOKEN_DURATION

    def __str__(self) -> str:
        return f"a session of {self.keys}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FromFederationToken:
    """``{federation_token: {profile: NAME, name: …, policy_arns: […]}}``: GetFederationToken."""

    keys: FromProfile | FromKeys
    name: str
    policy_arns: tuple[str, ...]
    duration: timedelta = DEFAULT_SESSION_TOKEN_DURATION

    def __str__(self) -> str:
        return f"a federated session of {self.keys}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FromRolesAnywhere:
    """``{roles_anywhere: {trust_anchor_arn: …, profile_arn: …, certificate: PATH, private_key: PATH}}``."""

    trust_anchor_arn: str
    profile_arn: str
    certificate: Path
    private_key: Path
    chain: Path | None = None

    def __str__(self) -> str:
        return f"the certificate {self.certificate}"


Source = (
    FromProfile
    | FromRole
    | FromKeys
    | FromProcess
    | FromWebIdentity
    | FromSaml
    | FromCognito
    | FromInstanceMetadata
    | FromContainer
    | FromSessionToken
    | FromFederationToken
    | FromRolesAnywhere
)

FEDERATED = (FromWebIdentity, FromSaml, FromRolesAnywhere)
"""Sources that assume the role themselves: they need a ``role_arn`` and know no tags."""


def address_of(url: str) -> tuple[str, int]:
    """Return the host and port of a URL.

    Raises:
        ValueError: it has none.
    """
    parts = urlsplit(url)
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
    return host, parts.port or (443 if parts.scheme == "https" else 80)
