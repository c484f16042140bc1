"""STS clients: botocore's, with our time-outs and one attempt each, because the schedule owns the back-off."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore import UNSIGNED
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from imds.aws.sts import SourceCredentials

CONFIG = Config(connect_timeout=3, read_timeout=8, retries={"mode": "standard", "total_max_attempts": 1})
FALLBACK_REGION = "us-east-1"


class Clients:
    """Makes clients with the region, endpoint, proxy and CA settings of one profile.

    One Session makes them all and never loads credentials; a lock keeps it to one thread at a time (Sessions are not
    thread-safe, clients are).

    Args:
        profile: None for none.
        region: None means the profile's.
        measure: told AWS's time at every answer.
    """

    def __init__(self, *, profile: str | None, region: str | None, measure: Callable[[datetime], None]) -> None:
        self._measure = measure
        self._profile = profile
        self._region = region
        self._session: botocore.session.Session | None = None
        self._lock = threading.Lock()

    def make(self, service: str, credentials: SourceCredentials | None) -> Any:  # noqa: ANN401 - botocore makes its clients at run time
        """Return a client that signs with ``credentials``, one that does not sign with None; blocks."""
        with self._lock:
            if self._session is None:
                self._session = new_session(self._profile)
            session = self._session
            settings: dict[str, Any] = {"config": Config(signature_version=UNSIGNED)}
            if credentials is not None:
                settings = {
                    "aws_access_key_id": credentials.access_key_id,
                    "aws_secret_access_key": credentials.secret_access_key,
                    "aws_session_token": credentials.session_token,
                }
            region = self._region or session.get_config_variable("region") or FALLBACK_REGION
            client = session.create_client(service, region_name=region, **settings)
        client.meta.events.register("after-call.*.*", self._note_time)
        return client

    def _note_time(self, http_response: Any, **_: object) -> None:  # noqa: ANN401 - botocore's
        """Read AWS's clock off an answer, errors included."""
        date = http_response.headers.get("date")
        if date is not None:
            with contextlib.suppress(ValueError):
                self._measure(parsedate_to_datetime(date).astimezone(UTC))

    def renew(self) -> None:
        """Read the profile's settings again before the next client."""
        with self._lock:
            self._session = None


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
