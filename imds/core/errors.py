"""Every error, named after who must act.

``ImdsError`` is never raised itself. The core knows no HTTP status: ``imds.web.statuses`` holds the one table
from the classes below to what a client sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta


class Action(Enum):
    """What a failed refresh calls for."""

    RETRY = "retry"  # a fault that passes: the network, a throttle, AWS itself
    REAUTHENTICATE = "reauthenticate"  # a person must sign in again or give a code
    DENIED = "denied"  # AWS says no: a trust policy or permission must change
    CLOCK = "clock"  # this machine's clock is wrong
    CONFIG = "config"  # the configuration must change


PASSES_BY_ITSELF = frozenset({Action.RETRY, Action.CLOCK})
"""After these a client may expect credentials soon; after the others a person has to act first."""


class ImdsError(Exception):
    """Base of all errors of this program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake in the configuration: where it is, what is wrong and what to write instead."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}"


class ConfigError(ImdsError):
    """The operator's configuration cannot be used; carries every problem found, not only the first."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class AddressTakenError(ImdsError):
    """An address or socket of ours is in use by another program; says by which, where that can be known."""


class PlaceError(ImdsError):
    """Sessions cannot be kept in this place; says why, and what would help."""


class NotifyError(ImdsError):
    """A notice was not delivered over a channel; says why, and holds no secret."""


class CredentialsError(ImdsError):
    """AWS, or a credential source, gave no credentials.

    Args:
        code: the error code AWS (or botocore) uses, kept as it is, or one of ours.
        message: AWS's own words, or ours.
        action: what it calls for.
        again_after: when to look again, where the source knows better than the schedule.
        waits_for: what a person has to do, where one has to and it is known; completes "waiting for …", and may say
            ``{role}``.
        in_a_row: how many failures of a shared source this makes; None where each role counts its own.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        action: Action,
        again_after: timedelta | None = None,
        waits_for: str | None = None,
        in_a_row: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.action = action
        self.again_after = again_after
        self.waits_for = waits_for
        self.in_a_row = in_a_row

    def but(
        self,
        *,
        again_after: timedelta | None = None,
        waits_for: str | None = None,
        in_a_row: int | None = None,
    ) -> CredentialsError:
        """Return the same failure as a new error, with more said about it."""
        return CredentialsError(
            self.code,
            self.message,
            action=self.action,
            again_after=again_after if again_after is not None else self.again_after,
            waits_for=self.waits_for or waits_for,
            in_a_row=in_a_row if in_a_row is not None else self.in_a_row,
        )

    def waiting_for(self, role: str) -> str | None:
        """Return what ``role`` waits for; None where no person has to act."""
        if self.action is not Action.REAUTHENTICATE:
            return None
        return (self.waits_for or "a person to sign in again").replace("{role}", role)


class RequestError(ImdsError):
    """A client's request gets no answer of substance; the text goes to the log, never to the client."""


class BadRequestError(RequestError):
    """The request is malformed, or its token TTL is not 1 to 21600 seconds."""


class TokenError(RequestError):
    """The session token is missing, wrong or expired."""


class Refusal(Enum):
    """The kinds of refusals that are counted apart; nothing in them comes from a caller."""

    RULE = "rule"  # a rule of ``callers`` says so
    NO_RULE = "no_rule"
    UNKNOWN = "unknown_caller"  # a rule asks for what is not known of it
    PROXY = "proxy"
    BROWSER = "browser"
    HOST = "host"  # a foreign ``Host``
    HTTP_ENDPOINT = "http_endpoint"
    HOP_LIMIT = "hop_limit"
    CONTAINER_TOKEN = "container_token"  # noqa: S105 - a word; somebody else's, or of a role that is not allowed any more
    RATE_LIMIT = "rate_limit"
    OTHER = "other"


class RefusedError(RequestError):
    """This caller, or this kind of request, gets nothing.

    Args:
        message: why, for the log.
        kind: as it is counted.
        rule: the number of the rule that decided, from 1.
    """

    def __init__(self, message: str, *, kind: Refusal = Refusal.OTHER, rule: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.rule = rule


class NoSuchPathError(RequestError):
    """Nothing of that name, for this caller."""


class MethodError(RequestError):
    """The path exists but not for this method."""

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class TooManyRequestsError(RequestError):
    """This caller asks more often than any client does."""


class ThrottledError(RequestError):
    """Told to come back later, as by a simulated fault."""


class CredentialsNotReadyError(RequestError):
    """No credentials at this moment, but they will come by themselves."""


class CredentialsUnavailableError(RequestError):
    """No credentials until a person acts."""
