"""Authorization tokens for the container-credentials endpoint: who may fetch which role, until when.

Only a digest of each token is kept, here and on disk, so that neither memory dumps of the state nor the state file
can be used to fetch anything.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from imds.core.errors import BadRequestError, NoSuchPathError, TokenError

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_TTL = timedelta(hours=12)
MAX_TTL = timedelta(days=7)
MAX_PER_USER = 1000
"""Live tokens of one user; far beyond use, it only bounds a runaway loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerToken:
    """What one token allows; the token itself is not here, only its digest.

    Attributes:
        uid: whose callers may use it; None, for a lease only, anybody to whom the rules give the instance.
        lease: the lease that it belongs to and ends with; None for none.
    """

    id: str
    digest: str
    role: str
    instance: str
    uid: int | None
    expires: datetime
    lease: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, for the state file."""
        return {
            "id": self.id,
            "digest": self.digest,
            "role": self.role,
            "instance": self.instance,
            "uid": self.uid,
            "expires": self.expires.isoformat(),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ContainerToken:
        """Return the token that ``to_json`` wrote.

        Raises:
            KeyError, TypeError, ValueError: it was not written by ``to_json``.
        """
        return cls(
            id=str(uuid.UUID(value["id"])),
            digest=str(value["digest"]),
            role=str(value["role"]),
            instance=str(value["instance"]),
            uid=int(value["uid"]),
            expires=datetime.fromisoformat(value["expires"]),
        )


class ContainerTokens:
    """The live tokens."""

    def __init__(self, known: Iterable[ContainerToken] = ()) -> None:
        self._tokens = {token.id: token for token in known}

    def mint(
        self, *, role: str, instance: str, uid: int | None, ttl: timedelta, now: datetime, lease: str | None = None
    ) -> tuple[ContainerToken, str]:
        """Return a new entry and the secret that opens it; the secret exists nowhere else.

        Raises:
            BadRequestError: the lifetime is out of bounds, or this user holds too many already.
        """
        self._forget_expired(now)
        if not timedelta(0) < ttl <= MAX_TTL:
            raise BadRequestError(f"a container token lives between 1 s and {MAX_TTL.days} days")
        held = sum((token.uid, token.instance) == (uid, instance) for token in self._tokens.values())
        if held >= MAX_PER_USER:
            raise BadRequestError(
                f"user {uid} holds {MAX_PER_USER} container tokens of instance {instance} already: revoke some"
            )
        secret = secrets.token_urlsafe(32)
        token = ContainerToken(
            id=str(uuid.uuid4()),
            digest=_digest(secret),
            role=role,
            instance=instance,
            uid=uid,
            expires=now + ttl,
            lease=lease,
        )
        self._tokens[token.id] = token
        return token, secret

    def authorize(self, authorization: str | None, now: datetime, *, token_id: str | None = None) -> ContainerToken:
        """Return the entry that an ``Authorization`` header opens, with or without ``Bearer``.

        Args:
            authorization: the raw header.
            now: the time.
            token_id: where the path names one, only that entry.

        Raises:
            TokenError: none, for whatever reason; which one is not told.
        """
        if not authorization:
            raise TokenError("no Authorization header")
        digest = _digest(authorization.removeprefix("Bearer ").strip())
        found = None
        for token in self._tokens.values():  # all of them, always: the time taken tells nothing
            if hmac.compare_digest(token.digest, digest):
                found = token
        if found is None or now >= found.expires or token_id not in (None, found.id):
            raise TokenError("the Authorization header opens nothing here")
        return found

    def of_anybody(self, token_id: str, now: datetime) -> ContainerToken:
        """Return an entry by its id alone, which is not to be guessed either; only one that belongs to no user.

        Raises:
            TokenError: there is none.
        """
        token = self._tokens.get(token_id)
        if token is None or token.uid is not None or now >= token.expires:
            raise TokenError("no Authorization header")
        return token

    def renew(self, token_id: str, *, uid: int, instance: str | None, ttl: timedelta, now: datetime) -> ContainerToken:
        """Let a live token of ``uid`` live ``ttl`` from now.

        Args:
            token_id: which.
            uid: who asks.
            instance: in which instance; None for any of the user's, for who has control.
            ttl: from now on.
            now: the time.

        Raises:
            NoSuchPathError: there is no such live token of theirs.
        """
        token = self._owned(token_id, uid, instance)
        if now >= token.expires:
            raise NoSuchPathError(f"container token {token_id} has expired")
        self._tokens[token_id] = replace(token, expires=now + min(ttl, MAX_TTL))
        return self._tokens[token_id]

    def revoke(self, token_id: str, *, uid: int, instance: str | None) -> None:
        """Forget a token of ``uid``; the arguments are those of ``renew``.

        Raises:
            NoSuchPathError: there is no such token of theirs.
        """
        del self._tokens[self._owned(token_id, uid, instance).id]

    def end_lease(self, lease_id: str) -> None:
        """Forget the tokens of a lease."""
        self._tokens = {key: token for key, token in self._tokens.items() if token.lease != lease_id}

    def live(self, now: datetime) -> list[ContainerToken]:
        """Return the tokens that still open something, but for those of leases, which nothing outlives."""
        self._forget_expired(now)
        return [token for token in self._tokens.values() if token.lease is None]

    def _owned(self, token_id: str, uid: int, instance: str | None) -> ContainerToken:
        token = self._tokens.get(token_id)
        if token is None or token.uid != uid or token.lease is not None or instance not in (None, token.instance):
            raise NoSuchPathError(f"no container token {token_id} of user {uid}")
        return token

    def _forget_expired(self, now: datetime) -> None:
        self._tokens = {key: token for key, token in self._tokens.items() if token.expires > now}


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
