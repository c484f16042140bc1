"""How far this machine's clock is from AWS's, as its last answer said.

AWS's time is kept against ``Clock.elapsed``, which nobody can step: when the wall clock is set right, it agrees with
AWS's at once, without another answer.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from imds.core.clock import Clock

NOTICED = timedelta(seconds=60)
"""Less is the time an answer takes, and no harm: AWS allows five minutes at least."""


class Skew:
    """The clock of AWS, as far as it is known."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._observed: tuple[datetime, timedelta] | None = None

    def observe(self, server: datetime) -> None:
        """Note that AWS says ``server`` (UTC) now; any thread may."""
        self._observed = server, self._clock.elapsed()

    @property
    def measured(self) -> timedelta | None:
        """AWS's time minus ours; None before the first answer."""
        if self._observed is None:
            return None
        server, elapsed = self._observed
        return server + (self._clock.elapsed() - elapsed) - self._clock.now()

    @property
    def noticed(self) -> timedelta:
        """What has to be reckoned with; zero where the clocks agree."""
        measured = self.measured
        return measured if measured is not None and abs(measured) > NOTICED else timedelta()

    def now(self) -> datetime:
        """Return AWS's time, which is ours unless they differ by what has to be reckoned with."""
        return self._clock.now() + self.noticed
