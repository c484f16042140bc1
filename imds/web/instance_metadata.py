"""The metadata service (IMDS): session tokens, the tree, and the credentials in it. No answer waits for AWS."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from imds.core.audit import Given
from imds.core.callers import Place
from imds.core.errors import (
    CredentialsNotReadyError,
    CredentialsUnavailableError,
    MethodError,
    NoSuchPathError,
    Refusal,
    RefusedError,
    TokenError,
)
from imds.core.instances import BEYOND_THIS_HOST
from imds.core.paths import (
    IAM,
    IAM_INFO,
    IDENTITY_DOCUMENT,
    IDENTITY_ROLE,
    IDENTITY_SECURITY_CREDENTIALS,
    SECURITY_CREDENTIALS,
    SECURITY_CREDENTIALS_EXTENDED,
    TOKEN,
    USER_DATA,
    VERSIONS,
    is_below,
)
from imds.core.store import LISTED_UNTIL
from imds.core.tokens import parse_ttl
from imds.web import answer, documents, faults
from imds.web.faults import TOKEN_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from imds.core.clock import Clock
    from imds.core.instances import Instance
    from imds.core.leases import Lease, Leases
    from imds.core.store import Store
    from imds.core.tokens import SessionTokens
    from imds.web.answer import Answer
    from imds.web.request import Request
    from imds.web.uses import Uses

TOKEN_TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"  # noqa: S105 - likewise
READ = ("GET", "HEAD")

DOCUMENTS = {
    SECURITY_CREDENTIALS: documents.security_credentials,
    SECURITY_CREDENTIALS_EXTENDED: documents.security_credentials_extended,
}


class Trees(Protocol):
    """Gives the fixed part of an instance's tree."""

    launched: datetime

    def tree(self, instance: Instance, *, with_role: bool, with_identity: bool) -> Mapping[str, str]:
        """Return every path below a version that answers with a fixed text, listings included.

        Args:
            instance: whose.
            with_role: whether its role is attached.
            with_identity: whether ``identity-credentials`` has credentials.

        Raises:
            CredentialsNotReadyError: the region is not known yet, a moment after the start.
        """
        ...


class InstanceMetadata:
    """Answers as EC2's instance metadata service does.

    Args:
        store: has the credentials.
        leases: have those of break-glass roles.
        clock: the time.
        tokens: makes session tokens.
        trees: have the fixed texts.
        uses: are told who was given what.
        hop_away: addresses that everybody reaches by way of this host, so that hops count by themselves.
    """

    def __init__(
        self,
        *,
        store: Store,
        leases: Leases,
        clock: Clock,
        tokens: SessionTokens,
        trees: Trees,
        uses: Uses,
        hop_away: AbstractSet[str] = frozenset(),
    ) -> None:
        self._hop_away = hop_away
        self._store = store
        self._leases = leases
        self._clock = clock
        self._tokens = tokens
        self._trees = trees
        self._uses = uses
        self._written = documents.Written()

    def answer(self, request: Request, segments: tuple[str, ...], instance: Instance) -> Answer:
        """Answer one request; the order of the checks is EC2's.

        Raises:
            RequestError: in place of an answer of substance.
        """
        version, path = (segments[0] if segments else ""), "/".join(segments[1:])
        if path == TOKEN and version == "latest":
            return self._token(request, instance)
        if path == TOKEN and version in VERSIONS and request.method == "PUT":
            raise RefusedError("tokens are given at /latest/api/token only")
        token_ttl = self._check_token(request, instance)
        if request.method not in READ:
            raise MethodError(f"{request.method} on {path or '/'}", allow=", ".join(READ))
        try:
            return self._read(request, version, path, instance, token_ttl)
        except (NoSuchPathError, CredentialsUnavailableError) as error:
            return answer.not_found(token_ttl, because=str(error))

    def _token(self, request: Request, instance: Instance) -> Answer:
        allow = "OPTIONS, PUT"
        if request.method == "OPTIONS":
            return answer.empty(200, allow=allow)
        if request.method != "PUT":
            raise MethodError(f"{request.method} on the token path", allow=allow)
        ttl = parse_ttl(request.headers.get(TOKEN_TTL_HEADER))
        refused = request.caller.place is Place.ELSEWHERE and instance.hop_limit < BEYOND_THIS_HOST
        if refused and request.local_address not in self._hop_away:
            raise RefusedError(
                "it is beyond this host, and http_put_response_hop_limit of "
                f"instance {instance.name} is {instance.hop_limit}: 2 lets containers have tokens",
                kind=Refusal.HOP_LIMIT,
            )
        return answer.token(self._tokens.issue(instance.name, ttl, self._clock.now()), ttl, instance.hop_limit)

    def _check_token(self, request: Request, instance: Instance) -> int | None:
        """Return what is left of the token, in seconds; None where none was sent and none is needed."""
        sent = request.headers.get(TOKEN_HEADER)
        if sent is not None:  # a wrong token is an error even where none is needed: fluent-bit tells v2 by that
            return self._tokens.remaining(sent.strip(), instance.name, self._clock.now())
        if instance.token_required:
            raise TokenError("no session token, and this instance answers IMDSv2 only (http_tokens: required)")
        return None

    def _read(self, request: Request, version: str, path: str, instance: Instance, token_ttl: int | None) -> Answer:
        if not version:
            return answer.text("\n".join(VERSIONS), modified=self._trees.launched, token_ttl=token_ttl)
        if version not in VERSIONS:
            raise NoSuchPathError(f"version {version}")
        if is_below(path, IAM):
            return self._iam(request, path, instance, token_ttl)
        if path == USER_DATA and instance.overlay.user_data is not None:
            return answer.user_data(instance.overlay.user_data, modified=self._trees.launched, token_ttl=token_ttl)
        if instance.identity_role is not None:
            if path == f"{IDENTITY_SECURITY_CREDENTIALS}/{IDENTITY_ROLE}":
                return self._document(request, SECURITY_CREDENTIALS, instance.identity_role, instance, token_ttl)
            if path == IDENTITY_SECURITY_CREDENTIALS:
                self._store.credentials(instance.identity_role, at_least=LISTED_UNTIL)
        tree = self._tree(instance)
        if path not in tree:
            if path == IDENTITY_DOCUMENT and instance.role is not None:
                self._store.credentials(instance.role)  # says whether the account will be known soon
            raise NoSuchPathError(path)
        return answer.text(tree[path], modified=self._trees.launched, token_ttl=token_ttl)

    def _tree(self, instance: Instance) -> Mapping[str, str]:
        """Return the tree; it shows no role that a person has to mend first."""
        return self._trees.tree(
            instance,
            with_role=self._is_attached(instance.role),
            with_identity=self._is_attached(instance.identity_role),
        )

    def _is_attached(self, role: str | None) -> bool:
        if role is None:
            return False
        try:
            self._store.credentials(role, at_least=LISTED_UNTIL)
        except CredentialsNotReadyError:
            return True
        except CredentialsUnavailableError:
            return False
        return True

    def _iam(self, request: Request, path: str, instance: Instance, token_ttl: int | None) -> Answer:
        directory, _, role = path.rpartition("/")
        if directory in DOCUMENTS and role in instance.roles:
            return self._document(request, directory, role, instance, token_ttl)
        if instance.role is None:
            raise NoSuchPathError(f"{path}: instance {instance.name} has no role")
        credentials = self._store.credentials(instance.role, at_least=LISTED_UNTIL)
        if path == IAM_INFO:
            body = documents.iam_info(credentials, instance.role, profile_id(credentials.arn))
        elif path == SECURITY_CREDENTIALS_EXTENDED:  # listed nowhere, as on EC2; SDKs try it by its name
            body = instance.role
        else:
            tree = self._tree(instance)
            if path not in tree:
                raise NoSuchPathError(path)
            body = tree[path]
        return answer.text(body, modified=credentials.last_updated, token_ttl=token_ttl)

    def _document(
        self, request: Request, directory: str, role: str, instance: Instance, token_ttl: int | None
    ) -> Answer:
        """Give credentials of a role, in the shape of ``directory``."""
        activation = self._activation(role, request, instance) if role in self._leases.guarded else None
        key = activation.key if activation is not None else role
        credentials = self._store.credentials(key)
        self._uses.note(key, credentials, request.caller)
        shown = faults.misdated(credentials, instance, self._clock.now())
        if activation is None:
            body = self._written.text(DOCUMENTS[directory], role, shown)
        else:
            self._leases.note_given(activation.id, credentials)
            body = DOCUMENTS[directory](shown)
        document = answer.text(body, modified=credentials.last_updated, token_ttl=token_ttl)
        return replace(document, given=Given(role=role, credentials=credentials, lease=activation))

    def _activation(self, role: str, request: Request, instance: Instance) -> Lease:
        """Return the live activation of a break-glass role for whoever asks.

        Raises:
            CredentialsUnavailableError: there is none.
        """
        activation = self._leases.activation(role, request.caller.uid, instance.name)
        if activation is None:
            raise CredentialsUnavailableError(f"role {role} is not active: imds activate {role} --reason …")
        return activation


def profile_id(arn: str) -> str:
    """Return an instance profile id for a role: ``AIPA`` and 17 characters, always the same for the same role."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    digest = hashlib.sha256(arn.encode()).digest()
    return "AIPA" + "".join(alphabet[byte % 32] for byte in digest[:17])
