"""botocore's clients with our time-outs: one attempt each, because the schedule owns the back-off."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError

from imds.aws.calls import Calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from imds.aws.sts import SourceCredentials

logger = logging.getLogger(__name__)

CONFIG = Config(connect_timeout=3, read_timeout=8, retries={"mode": "standard", "total_max_attempts": 1})
FALLBACK_REGION = "us-east-1"
"""Where neither the configuration nor the profile names a region."""

SECOND_REGIONS = {
    "aws": ("us-east-1", "us-west-2"),
    "aws-cn": ("cn-north-1", "cn-northwest-1"),
    "aws-us-gov": ("us-gov-west-1", "us-gov-east-1"),
}
"""By partition: the region whose STS is asked when the first cannot be reached, and the one to take in its stead."""

NO_SECOND_REGION = "none"

AVOID = 300.0
"""Seconds for which a region that cannot be reached is not asked first."""

NEVER_SENT = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError)
"""Errors after which the request has certainly not been heard, so that asking elsewhere cannot make two of one."""


class Clients:
    """Makes clients with the region, endpoint, proxy and CA settings of one profile.

    One Session makes them all and never loads credentials; a lock keeps it to one thread at a time (Sessions are not
    thread-safe, clients are).

    Args:
        profile: None for none.
        region: None means the profile's.
        second_region: whose STS is asked when the first region's cannot be reached; None means ours for
            the same partition (``SECOND_REGIONS``), ``none`` no other.
        measure: told AWS's time at every answer to these clients.
        calls: told of every call.
    """

    def __init__(
        self,
        *,
        profile: str | None,
        region: str | None,
        second_region: Callable[[], str | None] = lambda: None,
        measure: Callable[[datetime], None],
        calls: Calls | None = None,
    ) -> None:
        self._measure = measure
        self._calls = calls or Calls()
        self._profile = profile
        self._region = region
        self._second_region = second_region
        self._session: botocore.session.Session | None = None
        self._lock = threading.Lock()
        self._avoid_first_until = 0.0

    def sts(self, credentials: SourceCredentials | None) -> Sts:
        """Return what signs STS calls with ``credentials``, or does not sign with None; blocks."""
        return Sts(self.make("sts", credentials), lambda: self._second(credentials), self)

    def make(self, service: str, credentials: SourceCredentials | None, *, region: str | None = None) -> Any:  # noqa: ANN401 - botocore makes its clients at run time
        """Return a client of a service that signs with ``credentials``, or does not sign with None; blocks."""
        with self._lock:
            session = self._live_session()
            settings: dict[str, Any] = {"config": Config(signature_version=UNSIGNED)}
            if credentials is not None:
                settings = {
                    "aws_access_key_id": credentials.access_key_id,
                    "aws_secret_access_key": credentials.secret_access_key,
                    "aws_session_token": credentials.session_token,
                }
            region = region or self._first_region(session)
            client = session.create_client(service, region_name=region, **settings)
        client.meta.events.register("after-call.*.*", self._after_call)
        client.meta.events.register("after-call-error.*.*", self._after_error)
        return client

    def renew(self) -> None:
        """Read the profile's settings again before the next client."""
        with self._lock:
            self._session = None

    @property
    def avoids_first(self) -> bool:
        """Whether the first region could not be reached a short while ago."""
        return time.monotonic() < self._avoid_first_until

    def avoid_first(self, region: str, instead: str) -> None:
        """Ask the second region first for a while."""
        if not self.avoids_first:
            logger.warning("STS in %s cannot be reached: asking %s for the next minutes", region, instead)
        self._avoid_first_until = time.monotonic() + AVOID

    def _second(self, credentials: SourceCredentials | None) -> Any:  # noqa: ANN401 - as above
        """Return a client of the second region; None where there is none."""
        with self._lock:
            session = self._live_session()
            first = self._first_region(session)
            second = self._second_region() or _second_region(session, first)
        if second in (None, NO_SECOND_REGION, first):
            return None
        return self.make("sts", credentials, region=second)

    def _live_session(self) -> botocore.session.Session:
        if self._session is None:
            self._session = new_session(self._profile)
        return self._session

    def _first_region(self, session: botocore.session.Session) -> str:
        return self._region or session.get_config_variable("region") or FALLBACK_REGION

    def _after_call(self, http_response: Any, event_name: str, **_: object) -> None:  # noqa: ANN401 - botocore's
        self._calls.note(event_name, http_response.status_code)
        self.note_time(http_response)

    def _after_error(self, event_name: str, **_: object) -> None:
        self._calls.note(event_name, None)

    def note_time(self, response: Any) -> None:  # noqa: ANN401 - botocore's
        """Read AWS's clock off an answer, errors included."""
        date = response.headers.get("date")
        if date is not None:
            with contextlib.suppress(ValueError, OverflowError):
                self._measure(parsedate_to_datetime(date).astimezone(UTC))


class Sts:
    """STS in one region, and in a second one where the first cannot be reached; sessions are good everywhere."""

    def __init__(self, first: Any, make_second: Callable[[], Any], clients: Clients) -> None:  # noqa: ANN401 - as above
        self._first = first
        self._make_second = make_second
        self._clients = clients

    def call(self, operation: str, **parameters: Any) -> Any:  # noqa: ANN401 - as botocore has it
        """Return STS's answer to ``operation`` (in snake case); blocks.

        Raises:
            botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: there is none.
        """
        unreached: Exception | None = None
        for client in self._in_order():
            try:
                answer = getattr(client, operation)(**parameters)
            except NEVER_SENT as error:
                unreached = unreached or error
                continue
            if unreached is not None and client is not self._first:
                self._clients.avoid_first(self._first.meta.region_name, client.meta.region_name)
            return answer
        raise unreached or RuntimeError("no region was asked")

    def _in_order(self) -> Iterator[Any]:
        """Yield a client of each region; the second is made only when it is wanted."""
        avoids_first = self._clients.avoids_first
        if not avoids_first:
            yield self._first
        second = self._make_second()
        # an endpoint of the user's own is one place, whatever the region
        if second is not None and second.meta.endpoint_url != self._first.meta.endpoint_url:
            yield second
        if avoids_first:
            yield self._first


def new_session(profile: str | None) -> botocore.session.Session:
    """Return a Session with our time-outs.

    Raises:
        botocore.exceptions.ProfileNotFound: there is no such profile (raised when it is first used).
    """
    session = botocore.session.Session(profile=profile)
    session.set_default_client_config(CONFIG)
    return session


def profile_region(profile: str | None) -> str | None:
    """Return the region that ``profile`` (or the environment) names; blocks for files only."""
    region: str | None = botocore.session.Session(profile=profile).get_config_variable("region")
    return region


def _second_region(session: botocore.session.Session, first: str) -> str | None:
    try:
        pair = SECOND_REGIONS.get(session.get_partition_for_region(first), ())
    except botocore.exceptions.UnknownRegionError:
        return None
    return next((region for region in pair if region != first), None)
