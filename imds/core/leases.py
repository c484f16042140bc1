"""Leases: a role for one consumer, for a while, revocable; what is live, for whom, and what has ended.

A lease belongs to one user (or to whoever the rules give an instance) and ends by itself. Nothing of it is kept on
disk: with the daemon every lease ends.
"""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from imds.core.callers import Place
from imds.core.errors import BadRequestError, NoSuchPathError

if TYPE_CHECKING:
    from imds.core.callers import Caller
    from imds.core.clock import Clock
    from imds.core.credentials import Credentials
    from imds.core.roles import RoleSession

MIN_TTL, DEFAULT_TTL, MAX_TTL = timedelta(minutes=1), timedelta(minutes=30), timedelta(hours=12)
MOST_OF_USER, MOST = 20, 100
"""Live leases; each costs AWS a session of its own."""

MOST_REMEMBERED = 1000
"""Leases that have ended, whose keys may still work."""

LONGEST_REASON = 1000

SCOPE = "imds-lease-{id}.scope"
"""The systemd unit that a lease's command runs in."""

_SCOPE = re.compile(r"imds-lease-([^/]+)\.scope")
_CONTAINER = re.compile(r"[0-9a-f]{64}(?:\.scope)?$")


def new_id() -> str:
    """Return the id of a new lease; it opens nothing."""
    return secrets.token_hex(6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One lease.

    Attributes:
        id: twelve hexadecimal digits; also in the session's name and in the name of the command's scope.
        role: its name in the configuration.
        role_arn: what is assumed.
        instance: that a caller must see to use it, unless the caller runs in the lease's own scope.
        uid: whose callers may use it; None for anybody to whom the rules give the instance.
        owner: who asked for it.
        user: the owner's name, where it is known.
        reason: as it was given.
        narrowed: what makes its session smaller than the role's, for people; empty for nothing.
        session_name: by which CloudTrail and policies know its sessions.
        began: UTC.
        ends: UTC; nothing is given from then on.
        ends_elapsed: likewise by ``Clock.elapsed``, so that a wall clock stepped back lengthens nothing.
        held: whether it also ends when the command that asked for it goes away.
        activation: whether it is the activation of a break-glass role: its user's callers that see the instance have
            the role by its name then.
    """

    id: str
    role: str
    role_arn: str | None
    instance: str
    uid: int | None
    owner: int
    user: str | None
    reason: str
    narrowed: str
    session_name: str | None
    began: datetime
    ends: datetime
    ends_elapsed: timedelta
    held: bool
    activation: bool = False

    @property
    def key(self) -> str:
        """Under what the store has its sessions; no role is called so."""
        return f"{self.role} ({'activation' if self.activation else 'lease'} {self.id})"

    def is_own(self, caller: Caller) -> bool:
        """Whether a caller is known to run in the lease's own scope."""
        return not self.activation and caller.uid == self.owner and scope_of(caller) == self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedLease:
    """A lease that has ended.

    Attributes:
        why: for people.
        keys_until: when the last of the keys that it was given ends, UTC; None where it was never given any.
    """

    lease: Lease
    why: str
    keys_until: datetime | None


class Leases:
    """The live leases, and those whose keys may still work.

    Attributes:
        guarded: the break-glass roles, which nobody has but by an activation.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self.guarded: frozenset[str] = frozenset()
        self._live: dict[str, Lease] = {}
        self._ended: OrderedDict[str, EndedLease] = OrderedDict()
        self._keys_until: dict[str, datetime] = {}

    def make(  # noqa: PLR0913 - the attributes of a lease
        self,
        lease_id: str,
        role: str,
        session: RoleSession,
        *,
        instance: str,
        uid: int | None,
        owner: int,
        user: str | None,
        reason: str,
        ttl: timedelta,
        narrowed: str = "",
        held: bool = False,
        activation: bool = False,
    ) -> Lease:
        """Return a lease whose time begins now; it is not live before ``add``. See ``Lease``."""
        now = self._clock.now()
        return Lease(
            id=lease_id,
            role=role,
            role_arn=session.role_arn,
            instance=instance,
            uid=uid,
            owner=owner,
            user=user,
            reason=reason,
            narrowed=narrowed,
            session_name=session.role_session_name,
            began=now,
            ends=now + ttl,
            ends_elapsed=self._clock.elapsed() + ttl,
            held=held,
            activation=activation,
        )

    def add(self, lease: Lease) -> None:
        """Let a lease be live from now on.

        Raises:
            BadRequestError: there are too many.
        """
        of_owner = sum(other.owner == lease.owner for other in self.live())
        if of_owner >= MOST_OF_USER:
            raise BadRequestError(f"you have {of_owner} live leases, the most that a user may have: revoke some")
        if len(self.live()) >= MOST:
            raise BadRequestError(f"there are {MOST} live leases, the most that this daemon keeps: try again later")
        self._live[lease.id] = lease

    def get(self, lease_id: str | None) -> Lease | None:
        """Return a lease while it is live, else None."""
        lease = self._live.get(lease_id or "")
        return lease if lease is not None and not self.is_over(lease) else None

    def activation(self, role: str, uid: int | None, instance: str) -> Lease | None:
        """Return the live activation of a role for a user's callers that see an instance; None for none.

        An activation has a user always, so a caller whose user is not known has none.
        """
        for lease in self._live.values():
            whose = lease.role, lease.uid, lease.instance
            if lease.activation and whose == (role, uid, instance) and not self.is_over(lease):
                return lease
        return None

    def live(self) -> list[Lease]:
        """Return the live leases, the oldest first."""
        return [lease for lease in self._live.values() if not self.is_over(lease)]

    def is_over(self, lease: Lease) -> bool:
        """Whether a lease's time is over."""
        return self._clock.now() >= lease.ends or self._clock.elapsed() >= lease.ends_elapsed

    def end(self, lease_id: str, why: str) -> EndedLease | None:
        """End a lease at once; None where it has ended already."""
        lease = self._live.pop(lease_id, None)
        if lease is None:
            return None
        ended = EndedLease(lease=lease, why=why, keys_until=self._keys_until.pop(lease_id, None))
        if ended.keys_until is not None:
            self._ended[lease_id] = ended
        while len(self._ended) > MOST_REMEMBERED:
            self._ended.popitem(last=False)
        return ended

    def ended(self, lease_id: str) -> EndedLease:
        """Return a lease that has ended and whose keys may still work.

        Raises:
            NoSuchPathError: there is none.
        """
        now = self._clock.now()
        for old in [key for key, one in self._ended.items() if one.keys_until is None or one.keys_until <= now]:
            del self._ended[old]
        if lease_id not in self._ended:
            raise NoSuchPathError(f"no lease {lease_id}, or it has ended and its keys with it: see imds leases")
        return self._ended[lease_id]

    def note_given(self, lease_id: str, credentials: Credentials) -> None:
        """Remember until when keys work that somebody has been given."""
        until = self._keys_until.get(lease_id, credentials.expiration)
        self._keys_until[lease_id] = max(until, credentials.expiration)

    def keys_until(self, lease_id: str) -> datetime | None:
        """Return until when keys of a live lease work, as far as somebody has been given some."""
        return self._keys_until.get(lease_id)

    def role_of_scope(self, caller: Caller) -> str | None:
        """Return the role of the live lease in whose scope a caller runs; None where that is not known."""
        lease = self.get(scope_of(caller))
        return lease.role if lease is not None and lease.is_own(caller) else None


def scope_of(caller: Caller) -> str | None:
    """Return the id of the lease whose scope a caller's control group says it is in, live or not; None for none.

    Of several the outermost counts, since users make what is inside; what a container names does not count.
    """
    if caller.place is Place.ELSEWHERE or caller.cgroup is None or "/imds-lease-" not in caller.cgroup:
        return None
    for part in caller.cgroup.split("/"):
        if _CONTAINER.search(part):
            return None
        if found := _SCOPE.fullmatch(part):
            return found[1]
    return None


def told_activation(lease: Lease) -> dict[str, Any]:
    """Return what is written down of an activation, as JSON values."""
    return {
        "id": lease.id,
        "role": lease.role,
        "role_arn": lease.role_arn,
        "instance": lease.instance,
        "uid": lease.owner,
        "user": lease.user,
        "reason": lease.reason,
        "session_name": lease.session_name,
        "began": lease.began.isoformat(),
        "ends": lease.ends.isoformat(),
    }


def activation_of(value: dict[str, Any]) -> Lease:
    """Return the activation that ``told_activation`` wrote, which is over.

    Raises:
        KeyError, TypeError, ValueError: it was not written by that.
    """
    return Lease(
        id=str(value["id"]),
        role=str(value["role"]),
        role_arn=value["role_arn"] and str(value["role_arn"]),
        instance=str(value["instance"]),
        uid=int(value["uid"]),
        owner=int(value["uid"]),
        user=value["user"] and str(value["user"]),
        reason=str(value["reason"]),
        narrowed="",
        session_name=value["session_name"] and str(value["session_name"]),
        began=datetime.fromisoformat(value["began"]),
        ends=datetime.fromisoformat(value["ends"]),
        ends_elapsed=timedelta(),
        held=False,
        activation=True,
    )
