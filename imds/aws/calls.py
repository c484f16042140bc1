"""What AWS was asked, counted; for the metrics."""

from __future__ import annotations

import threading

NO_ANSWER = "none"
"""In the place of a status, where the line was cut, the name unknown or the time over."""


class Calls:
    """Counts calls; botocore makes them in several threads.

    What botocore does by itself for a profile (SSO, a role that a profile assumes) is not among them.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], int] = {}
        self._lock = threading.Lock()

    def note(self, event_name: str, status: int | None) -> None:
        """Count a call.

        Args:
            event_name: botocore's, as in ``after-call.sts.AssumeRole``.
            status: of HTTP; None for no answer.
        """
        _, service, operation = event_name.split(".", 2)
        kind = service, operation, NO_ANSWER if status is None else str(status)
        with self._lock:
            self._counts[kind] = self._counts.get(kind, 0) + 1

    @property
    def counts(self) -> dict[tuple[str, str, str], int]:
        """How many there were, by service, operation and status."""
        with self._lock:
            return dict(self._counts)
