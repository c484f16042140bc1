"""How the metadata listeners answered, counted; for the metrics.

Every key is one of a few words of ours or a number: nothing that a caller chooses is kept.
"""

from __future__ import annotations

from collections import defaultdict

from imds.core.errors import Refusal, RefusedError, RequestError, TooManyRequestsError
from imds.core.histogram import Histogram

INSTANCE_METADATA, TOKEN, CONTAINER, NONE = "imds", "token", "container", "none"
ENDPOINTS = (INSTANCE_METADATA, TOKEN, CONTAINER, NONE)
"""What was asked; the last is what was refused before that was looked at, or is no request."""

BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0)
"""Seconds; an answer from memory takes less than one millisecond, botocore waits for one second."""


class Tally:
    """The counts.

    Attributes:
        answers: by endpoint and status.
        refusals: by kind, and the rule's number where one decided.
        took: from a request to its answer, of some connections.
    """

    def __init__(self) -> None:
        self.answers: defaultdict[tuple[str, int], int] = defaultdict(int)
        self.refusals: defaultdict[tuple[str, int | None], int] = defaultdict(int)
        self.took = Histogram(BOUNDS)

    def refused(self, error: RequestError) -> None:
        """Count what was refused for what it is or who it is from; other errors are counted by their status alone."""
        if isinstance(error, RefusedError):
            self.refusals[error.kind.value, error.rule] += 1
        elif isinstance(error, TooManyRequestsError):
            self.refusals[Refusal.RATE_LIMIT.value, None] += 1
