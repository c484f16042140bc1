"""One line an event."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import pytest

from imds.host import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave logging as it was."""
    names = ("", "imds", "boto3", "botocore", "urllib3")
    root = logging.getLogger()
    handlers, levels = root.handlers[:], {name: logging.getLogger(name).level for name in names}
    flags = logging.logThreads, logging.logProcesses, logging.logMultiprocessing
    yield
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.logThreads, logging.logProcesses, logging.logMultiprocessing = flags


def said(
    capfd: pytest.CaptureFixture[str], style: str = "text", *, verbose: bool = False, journal: bool = False
) -> str:
    """Return what standard error gets of some events."""
    logs.configure(style, verbose=verbose, journal=journal)
    logger = logging.getLogger("imds.somewhere")
    logger.info("one\ntwo")
    logger.warning("beware")
    logger.debug("detail")
    logging.getLogger("botocore.auth").debug("their detail")
    logging.getLogger("aiohttp").info("their news")
    return capfd.readouterr().err


def test_for_people(capfd: pytest.CaptureFixture[str]) -> None:
    """Time, then the text; a second line cannot be taken for an event of its own."""
    first, second, third = said(capfd).splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d one", first)
    assert second == "    two"
    assert re.fullmatch(r"\d\d:\d\d:\d\d warning: beware", third)


def test_for_the_journal(capfd: pytest.CaptureFixture[str]) -> None:
    """The priority in front, no time."""
    assert said(capfd, journal=True) == "<6>one\n    two\n<4>beware\n"


def test_as_json(capfd: pytest.CaptureFixture[str]) -> None:
    """One object a line, with time, level, logger and message."""
    entries = [json.loads(line) for line in said(capfd, "json").splitlines()]
    assert [entry["message"] for entry in entries] == ["one\ntwo", "beware"]
    assert [entry["level"] for entry in entries] == ["info", "warning"]
    assert all(set(entry) == {"time", "level", "logger", "message"} for entry in entries)
    assert entries[0]["time"].endswith("+00:00")


def test_a_traceback_stays_in_its_event(capfd: pytest.CaptureFixture[str]) -> None:
    """As JSON it is a field."""
    logs.configure("json", verbose=False, journal=False)
    try:
        int("x")
    except ValueError:
        logging.getLogger("imds").exception("failed")
    (line,) = capfd.readouterr().err.splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


def test_verbose_is_ours_alone(capfd: pytest.CaptureFixture[str]) -> None:
    """Asked for details we give ours; botocore's hold tokens and are never shown."""
    logging.getLogger("botocore").setLevel(logging.DEBUG)
    told = said(capfd, verbose=True)
    assert "detail" in told
    assert "their" not in told
