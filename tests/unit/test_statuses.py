"""The one table from errors to what clients see."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

import pytest
from support.fakes import START

from imds.core import errors
from imds.web import statuses


def below(kind: type[errors.RequestError]) -> Iterator[type[errors.RequestError]]:
    """Give every subclass, however deep."""
    for sub in kind.__subclasses__():
        yield sub
        yield from below(sub)


KINDS = sorted(set(below(errors.RequestError)), key=lambda kind: kind.__name__)


def made(kind: type[errors.RequestError]) -> errors.RequestError:
    """Return one with a text that must not leave."""
    if issubclass(kind, errors.MethodError):
        return kind("reasons for the log", allow="GET, HEAD")
    return kind("reasons for the log")


def test_the_table_is_complete() -> None:
    """Every error of a request has a status, and the table has nothing else."""
    assert set(statuses.STATUSES) == set(KINDS)
    assert len(KINDS) >= 7


def test_every_status_has_a_code_and_a_message() -> None:
    """The container endpoint has words for each."""
    used = set(statuses.STATUSES.values())
    assert set(statuses.CONTAINER_CODES) == set(statuses.CONTAINER_MESSAGES) == used


@pytest.mark.parametrize("kind", KINDS)
def test_reasons_are_logged_and_not_sent(kind: type[errors.RequestError]) -> None:
    """No answer contains an error's text, every one carries it for the log, and none is a fault of ours."""
    for make in (statuses.metadata_error, statuses.container_error):
        answer = make(made(kind))
        sent = answer.to_bytes(START)
        assert b"reasons" not in sent
        assert answer.because == "reasons for the log"
        assert answer.status == statuses.STATUSES[kind]
        assert answer.status < HTTPStatus.INTERNAL_SERVER_ERROR or answer.status == HTTPStatus.SERVICE_UNAVAILABLE


@pytest.mark.parametrize("kind", [kind for kind in KINDS if statuses.STATUSES[kind] != 404])
def test_only_404_has_a_body(kind: type[errors.RequestError]) -> None:
    """A text would be taken for a role's name."""
    assert statuses.metadata_error(made(kind)).body == b""


def test_a_wrong_method_says_which_is_right() -> None:
    """``Allow`` comes from the error."""
    assert ("Allow", "GET, HEAD") in statuses.metadata_error(made(errors.MethodError)).before


def test_the_container_error_is_the_endpoints_json() -> None:
    """Code and message in lower case, as ECS writes them."""
    body = statuses.container_error(errors.CredentialsNotReadyError("x")).body
    assert body == b'{"code":"CredentialsUninitialized","message":"no credentials yet; try again in a moment"}'
