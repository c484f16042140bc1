"""The log: one line an event on standard error, for people or as JSON."""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import UTC, datetime


class _Text(logging.Formatter):
    """``HH:MM:SS level message``; under systemd the journal knows the time already, so it gets the priority instead."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record).replace("\n", "\n    ")
        if self._journal:
            return f"<{_PRIORITY.get(record.levelno, 6)}>{text}"
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        mark = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return f"{moment} {mark}{text}"


class _Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def configure(style: str, *, verbose: bool, journal: bool) -> None:
    """Log to standard error.

    Args:
        style: ``text`` or ``json``.
        verbose: requests that got nothing, too.
        journal: whether systemd's journal reads it.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if style == "json" else _Text(journal=journal))
    # what no format of ours names, and every record would be asked for (logging's how-to, "Optimization")
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("imds").setLevel(logging.DEBUG if verbose else logging.INFO)
    # their debug output holds tokens, their warnings are tracebacks of failures that we tell in a line: never
    for name in ("boto3", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
