"""Faults and changes of role that are simulated: what they make of an instance, and of an answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

from imds.core.errors import CredentialsNotReadyError, ThrottledError, TokenError
from imds.core.events import MISDATED
from imds.web import answer as answers

if TYPE_CHECKING:
    from datetime import datetime

    from imds.core.credentials import Credentials
    from imds.core.events import Fault, RoleChange
    from imds.core.instances import Instance
    from imds.web.answer import Answer
    from imds.web.request import Request

HEADER = "X-Imds-Fault"
"""Marks every answer that is not as it would be; real EC2 has nothing like it."""

TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105 - a header's name


def changed(instance: Instance, role: RoleChange | None, faults: tuple[Fault, ...]) -> Instance:
    """Return the instance as it is simulated; it never has a role that it did not have before."""
    kinds = {fault.kind for fault in faults}
    lifetimes = [lifetime for kind, lifetime in MISDATED.items() if kind in kinds]
    if lifetimes:
        instance = replace(instance, told_lifetime=min(lifetimes))
    if "no-role" in kinds or (role is not None and role.role is None):
        return replace(instance, role=None, roles=frozenset())
    if role is not None and role.role in instance.roles:  # else a reload has taken that role away
        return replace(instance, role=role.role)
    return instance


def latency(faults: tuple[Fault, ...]) -> float:
    """Return for how many seconds a request has to wait before anything is decided about it."""
    return max((fault.delay for fault in faults), default=timedelta()).total_seconds()


def instead(faults: tuple[Fault, ...], request: Request) -> Answer | None:
    """Return what a request hears in place of its answer; None for those that only change it.

    Raises:
        RequestError: that is what it hears.
    """
    kinds = {fault.kind for fault in faults}
    if "reset" in kinds:
        return replace(answers.empty(HTTPStatus.SERVICE_UNAVAILABLE, because="simulated: reset"), reset=True)
    if "throttled" in kinds:
        raise ThrottledError("simulated: throttled")
    if "unavailable" in kinds:
        raise CredentialsNotReadyError("simulated: unavailable")
    if "token-rejected" in kinds and request.method != "PUT" and TOKEN_HEADER in request.headers:
        raise TokenError("simulated: token-rejected")
    return None


def marked(answer: Answer, faults: tuple[Fault, ...], *, late: bool) -> Answer:
    """Return an answer that says what is wrong with it."""
    names = ", ".join(sorted({fault.kind for fault in faults} | ({"latency"} if late else set())))
    return replace(answer, before=(*answer.before, (HEADER, names)), fault=names)


def misdated(credentials: Credentials, instance: Instance, now: datetime) -> Credentials:
    """Return credentials as their document tells them: with the true expiry, or with that of a simulated fault."""
    if instance.told_lifetime is None:
        return credentials
    return replace(credentials, expiration=min(credentials.expiration, now + instance.told_lifetime))
