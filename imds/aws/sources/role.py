"""Source ``{role: NAME}``: another role served here, so a chain of roles costs no call of its own."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from imds.aws.sources import OpenSource
from imds.aws.sts import SourceCredentials
from imds.core.errors import Action, CredentialsError, RequestError

if TYPE_CHECKING:
    from datetime import datetime

    from imds.aws.clients import Clients
    from imds.aws.threads import AwsThreads
    from imds.core.store import Store

LOOK_AGAIN = timedelta(seconds=5)
"""A look at the other role costs nothing, so this role follows soon after it."""


class RoleSource:
    """The newest credentials of another role; ``clients`` has the settings of the chain's beginning."""

    def __init__(self, *, role: str, clients: Clients, threads: AwsThreads, store: Store) -> None:
        self._role = role
        self._clients = clients
        self._threads = threads
        self._store = store
        self._opened: OpenSource | None = None

    async def open(self, now: datetime) -> OpenSource:  # noqa: ARG002 - the store has its own clock
        """Return the other role's credentials, waiting for its first attempt to end."""
        state = self._store.state(self._role)
        if state is not None:
            await state.tried.wait()
        try:
            held = self._store.credentials(self._role)
        except RequestError as error:
            failure = state.failure if state is not None else None
            raise CredentialsError(
                "SourceRole",
                f"its source has no credentials: {error}",
                action=failure.action if failure is not None else Action.RETRY,
                again_after=LOOK_AGAIN,
                waits_for=failure.waits_for if failure is not None else None,
            ) from error
        if self._opened is None or self._opened.credentials.access_key_id != held.access_key_id:
            credentials = SourceCredentials(
                access_key_id=held.access_key_id,
                secret_access_key=held.secret_access_key,
                session_token=held.session_token,
                expiration=held.expiration,
            )
            sts = await self._threads.call(lambda: self._clients.sts(credentials))
            self._opened = OpenSource(credentials=credentials, sts=sts)
        return self._opened

    async def reopen(self, now: datetime, refused: OpenSource) -> OpenSource:  # noqa: ARG002 - as above
        """Return what the other role has by now; it has a schedule of its own."""
        return await self.open(now)
