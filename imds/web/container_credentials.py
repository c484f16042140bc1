"""Container credentials, as ECS and EKS Pod Identity give them: a role to whoever holds its authorization token.

Sources: amazon-ecs-agent ``ecs-agent/tmds/handlers`` (paths, errors), eks-pod-identity-agent (``/v1/credentials``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imds.core.audit import Given
from imds.core.errors import MethodError, NoSuchPathError, Refusal, RefusedError, TokenError
from imds.web import answer, documents, faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from imds.core.clock import Clock
    from imds.core.container_tokens import ContainerToken, ContainerTokens
    from imds.core.credentials import Credentials
    from imds.core.instances import Instance
    from imds.core.leases import Lease, Leases
    from imds.core.store import Store
    from imds.web.answer import Answer
    from imds.web.request import Request
    from imds.web.uses import Uses

ROOTS = ("v1", "v2", "role")
"""First segments of this endpoint's paths; no metadata version looks like them."""


class ContainerCredentials:
    """Answers as the credentials endpoints of ECS and EKS do.

    Args:
        store: has the sessions, those of leases too.
        clock: the machine's.
        tokens: what opens them.
        leases: that some of the tokens belong to.
        uses: told who is given what.
        token_required: whether the URL of a lease that belongs to no user is not enough.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        tokens: ContainerTokens,
        leases: Leases,
        uses: Uses,
        token_required: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._clock = clock
        self._tokens = tokens
        self._leases = leases
        self._uses = uses
        self._token_required = token_required
        self._written = documents.Written()

    def answer(self, request: Request, segments: tuple[str, ...], instance: Instance) -> Answer:
        """Answer one request.

        Raises:
            RequestError: in place of credentials.
        """
        if request.method not in ("GET", "HEAD"):
            raise MethodError(f"{request.method} on container credentials", allow="GET, HEAD")
        token = self._authorize(request, segments)
        lease = self._lease(token)
        if token.uid is not None and token.uid != request.caller.uid:
            raise _foreign(f"the container token belongs to uid {token.uid}")
        if lease is None or not lease.is_own(request.caller):
            # a lease's own command may see another instance, because a rule asks for the lease
            _check_instance(token, instance)
        key = lease.key if lease is not None else token.role
        credentials = self._store.credentials(key)
        if lease is not None:
            self._leases.note_given(lease.id, credentials)
        self._uses.note(key, credentials, request.caller)
        document = answer.json_document(self._document(token, credentials, instance))
        given = Given(role=token.role, credentials=credentials, lease=lease)
        return replace(document, given=given)

    def _document(self, token: ContainerToken, credentials: Credentials, instance: Instance) -> str:
        shown = faults.misdated(credentials, instance, self._clock.now())
        if token.lease is not None:  # not kept, for it ends soon
            return documents.container_credentials(shown)
        return self._written.text(documents.container_credentials, token.role, shown)

    def _lease(self, token: ContainerToken) -> Lease | None:
        """Return the live lease that a token belongs to; None for a token of no lease.

        Raises:
            TokenError: the lease has ended.
        """
        if token.lease is None:
            return None
        lease = self._leases.get(token.lease)
        if lease is None:
            raise TokenError(f"lease {token.lease} has ended")
        return lease

    def _authorize(self, request: Request, segments: tuple[str, ...]) -> ContainerToken:
        authorization, now = request.headers.get("Authorization"), self._clock.now()
        match segments:
            case ("v2", "credentials", token_id) if authorization is None and not self._token_required():
                return self._tokens.of_anybody(token_id, now)
            case ("v2", "credentials", token_id):
                return self._tokens.authorize(authorization, now, token_id=token_id)
            case ("v1", "credentials"):
                return self._tokens.authorize(authorization, now)
            case ("role", role):
                token = self._tokens.authorize(authorization, now)
                if token.role == role:
                    return token
        raise NoSuchPathError("/".join(segments))


def _check_instance(token: ContainerToken, instance: Instance) -> None:
    """Refuse a token of another instance, or of a role that the instance does not allow any more.

    Raises:
        RefusedError: it is one.
    """
    if token.instance != instance.name:
        raise _foreign(f"the container token belongs to instance {token.instance}, not {instance.name}")
    if token.role not in instance.roles:
        raise _foreign(f"instance {instance.name} does not allow role {token.role} any more")


def _foreign(message: str) -> RefusedError:
    """Return the refusal of a token that gives this caller nothing."""
    return RefusedError(message, kind=Refusal.CONTAINER_TOKEN)
