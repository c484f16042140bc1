"""How the refreshes of every role ended, and how long they took; for the metrics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imds.core.histogram import Histogram

if TYPE_CHECKING:
    from datetime import timedelta

    from imds.core.errors import CredentialsError

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds: STS answers within one, a program of a source may take a minute."""

SUCCESS = "success"
MOST_CODES = 32
"""Of one role; AWS has about ten, and a program or an endpoint that invents more is not followed."""

OTHER_CODE = "Other"
_CODE = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class Refreshes:
    """Counts them.

    Attributes:
        counts: by role, of each outcome: ``success`` or the action that the failure calls for, and the failure's code.
        took: how long those took that succeeded, and those that failed.
    """

    def __init__(self) -> None:
        self.counts: dict[str, dict[tuple[str, str], int]] = {}
        self.took = {True: Histogram(BOUNDS), False: Histogram(BOUNDS)}

    def add(self, role: str) -> None:
        """Count refreshes of ``role`` from now on."""
        self.counts.setdefault(role, {(SUCCESS, ""): 0})

    def remove(self, role: str) -> None:
        """Forget ``role``."""
        self.counts.pop(role, None)

    def note(self, role: str, failure: CredentialsError | None, took: timedelta | None) -> None:
        """Count one that ended; without ``took`` nobody was asked."""
        counts = self.counts.get(role)
        if counts is None or took is None:
            return
        outcome = (SUCCESS, "") if failure is None else (failure.action.value, bounded_code(failure.code))
        if outcome not in counts and len(counts) >= MOST_CODES:
            outcome = (outcome[0], OTHER_CODE)
        counts[outcome] = counts.get(outcome, 0) + 1
        self.took[failure is None].observe(took.total_seconds())


def bounded_code(code: str) -> str:
    """Return a failure's code where it is like one."""
    return code if _CODE.fullmatch(code) else OTHER_CODE
