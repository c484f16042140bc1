"""Container credentials, as ECS and EKS Pod Identity give them: a role to whoever holds its authorization token.

Sources: amazon-ecs-agent ``ecs-agent/tmds/handlers`` (paths, errors), eks-pod-identity-agent (``/v1/credentials``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imds.core.errors import MethodError, NoSuchPathError, RefusedError
from imds.web import answer, documents, faults

if TYPE_CHECKING:
    from imds.core.clock import Clock
    from imds.core.container_tokens import ContainerToken, ContainerTokens
    from imds.core.instances import Instance
    from imds.core.store import Store
    from imds.web.answer import Answer
    from imds.web.request import Request
    from imds.web.uses import Uses

ROOTS = ("v1", "v2", "role")
"""First segments of this endpoint's paths; no metadata version looks like them."""


class ContainerCredentials:
    """Answers as the credentials endpoints of ECS and EKS do."""

    def __init__(self, *, store: Store, clock: Clock, tokens: ContainerTokens, uses: Uses) -> None:
        self._store = store
        self._clock = clock
        self._tokens = tokens
        self._uses = uses
        self._written = documents.Written()

    def answer(self, request: Request, segments: tuple[str, ...], instance: Instance) -> Answer:
        """Answer one request.

        Raises:
            RequestError: in place of credentials.
        """
        if request.method not in ("GET", "HEAD"):
            raise MethodError(f"{request.method} on container credentials", allow="GET, HEAD")
        token = self._authorize(request, segments)
        if token.uid != request.caller.uid:
            raise RefusedError(f"the container token belongs to uid {token.uid}")
        if token.instance != instance.name:
            raise RefusedError(f"the container token belongs to instance {token.instance}, not {instance.name}")
        if token.role not in instance.roles:
            raise RefusedError(f"instance {instance.name} does not allow role {token.role} any more")
        credentials = self._store.credentials(token.role)
        self._uses.note(token.role, credentials, request.caller)
        shown = faults.misdated(credentials, instance, self._clock.now())
        document = answer.json_document(self._written.text(documents.container_credentials, token.role, shown))
        return replace(document, given=(token.role, credentials))

    def _authorize(self, request: Request, segments: tuple[str, ...]) -> ContainerToken:
        authorization, now = request.headers.get("Authorization"), self._clock.now()
        match segments:
            case ("v2", "credentials", token_id):
                return self._tokens.authorize(authorization, now, token_id=token_id)
            case ("v1", "credentials"):
                return self._tokens.authorize(authorization, now)
            case ("role", role):
                token = self._tokens.authorize(authorization, now)
                if token.role == role:
                    return token
        raise NoSuchPathError("/".join(segments))
