"""How far this machine's clock is from AWS's, as its last answer said.

AWS's time is kept against ``Clock.elapsed``, which nobody can step, and against the wall clock. Where the two disagree
since (the wall clock was set, a virtual machine was resumed from a snapshot), the later time counts until AWS answers
again: rather nothing for a moment than something that has expired.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from imds.core.clock import Clock

NOTICED = timedelta(seconds=60)
"""Less is the time an answer takes, and no harm: AWS allows five minutes at least."""


ABSURD = timedelta(days=20 * 365)
"""So far off is no clock, but an answer that is not AWS's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One answer of AWS's.

    Attributes:
        server: AWS's time, UTC.
        elapsed: ``Clock.elapsed()`` then.
        difference: AWS's time minus ours.
    """

    server: datetime
    elapsed: timedelta
    difference: timedelta


class Skew:
    """The clock of AWS, as far as it is known.

    Attributes:
        observation: AWS's last answer, None before the first; ``elapsed`` must count from the boot that is.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self.observation: Observation | None = None

    def observe(self, server: datetime) -> None:
        """Note that AWS says ``server`` (UTC) now; any thread may."""
        difference = server - self._clock.now()
        if abs(difference) < ABSURD:
            self.observation = Observation(server=server, elapsed=self._clock.elapsed(), difference=difference)

    @property
    def measured(self) -> timedelta | None:
        """AWS's time minus ours, by the time elapsed since its last answer; None before the first."""
        seen = self.observation
        if seen is None:
            return None
        return seen.server + (self._clock.elapsed() - seen.elapsed) - self._clock.now()

    @property
    def noticed(self) -> timedelta:
        """What has to be reckoned with; zero where the clocks agree."""
        seen, measured = self.observation, self.measured
        if seen is None or measured is None:
            return timedelta()
        return max(_noticed(measured), _noticed(seen.difference))

    def now(self) -> datetime:
        """Return AWS's time, which is ours unless they differ by what has to be reckoned with."""
        return self._clock.now() + self.noticed


def _noticed(difference: timedelta) -> timedelta:
    return difference if abs(difference) > NOTICED else timedelta()
