"""How far this machine's clock is from AWS's, as its last answer said."""

from __future__ import annotations

from datetime import datetime, timedelta

NOTICED = timedelta(seconds=60)
"""Less is the time an answer takes, and no harm: AWS allows five minutes."""


class Skew:
    """The last measurement.

    Attributes:
        measured: AWS's time minus ours; None before the first answer.
    """

    def __init__(self) -> None:
        self.measured: timedelta | None = None

    def observe(self, server: datetime, now: datetime) -> None:
        """Note that AWS said ``server`` when this machine said ``now``; any thread may."""
        self.measured = server - now

    @property
    def noticed(self) -> timedelta:
        """What has to be reckoned with; zero where the clocks agree."""
        return self.measured if self.measured is not None and abs(self.measured) > NOTICED else timedelta()

    def correct(self, now: datetime) -> datetime:
        """Return AWS's time when this machine says ``now``."""
        return now + self.noticed
