"""Tells people and programs: every channel at once, each for so long and no longer; what became of it is kept."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter, deque
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imds.config.channels import Command, Desktop, EventBridge, Journal, Sns, Webhook
from imds.core.durations import format_duration
from imds.core.errors import CredentialsError, NotifyError, RequestError
from imds.core.timestamps import timestamp
from imds.host.notifying import journal
from imds.host.notifying.command import run_command
from imds.host.notifying.desktop import show
from imds.host.notifying.secret import read_secret
from imds.web.webhook import post

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from imds.config.channels import Channel
    from imds.config.schema import Role
    from imds.core.clock import Clock
    from imds.core.notices import Notice
    from imds.daemon.keepers import Keepers

logger = logging.getLogger(__name__)

MOST_NOTICES = 20
"""That are remembered."""

MOST_CHANNELS = 100
"""Whose last outcome is remembered; a reload may bring others."""

GRACE = timedelta(seconds=1)
"""A program that is killed has this long to be gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a notice on one channel.

    Attributes:
        channel: for people, without a secret.
        kind: of the channel.
        ok: whether it was delivered.
        optional: whether it does not matter when it was not.
        error: why it was not; empty where it was.
        took: how long that took.
        at: when it had ended, UTC.
    """

    channel: str
    kind: str
    ok: bool
    optional: bool
    error: str
    took: timedelta
    at: datetime

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "channel": self.channel,
            "delivered": self.ok,
            "optional": self.optional,
            "error": self.error or None,
            "took_seconds": round(self.took.total_seconds(), 3),
            "at": timestamp(self.at),
        }


def failed(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return those that were not delivered although they had to be."""
    return [outcome for outcome in outcomes if not outcome.ok and not outcome.optional]


class Notifying:
    """Delivers notices.

    Args:
        clock: the machine's.
        environment: the daemon's, as it was started.
        keepers: have the credentials for channels at AWS.
        roles: gives those of the configuration.

    Attributes:
        counts: by kind of channel and by whether it was delivered.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        environment: Mapping[str, str],
        keepers: Keepers,
        roles: Callable[[], Mapping[str, Role]],
    ) -> None:
        self._clock = clock
        self._environment = environment
        self._keepers = keepers
        self._roles = roles
        self._last: dict[Channel, Outcome] = {}
        self._notices: deque[tuple[Notice, list[Outcome]]] = deque(maxlen=MOST_NOTICES)
        self.counts: Counter[tuple[str, bool]] = Counter()

    async def tell(self, channels: Sequence[Channel], notice: Notice, *, source_of: str | None = None) -> list[Outcome]:
        """Tell all channels at once; return what became of each, in their order, when the last has ended.

        It takes no longer than the longest ``timeout`` of a channel, never fails, and can be cancelled.

        Args:
            channels: none is no failure: whoever needs one looks at what comes back.
            notice: what to tell.
            source_of: the role with whose source's credentials a channel at AWS is told that names no role itself.
        """
        outcomes = list(await asyncio.gather(*(self._deliver(channel, notice, source_of) for channel in channels)))
        for channel, outcome in zip(channels, outcomes, strict=True):
            self._last.pop(channel, None)
            self._last[channel] = outcome
            self.counts[outcome.kind, outcome.ok] += 1
            if not outcome.ok:
                logger.warning("%s: %s was not told: %s", notice.subject(), outcome.channel, outcome.error)
        while len(self._last) > MOST_CHANNELS:
            self._last.pop(next(iter(self._last)))
        self._notices.append((notice, outcomes))
        told = [outcome.channel for outcome in outcomes if outcome.ok]
        logger.info("%s (told: %s)", notice.subject(), ", ".join(told) or "nobody")
        return outcomes

    def after_reload(self, channels: Collection[Channel]) -> None:
        """Forget what became of channels that are none any more."""
        self._last = {channel: outcome for channel, outcome in self._last.items() if channel in channels}

    def to_json(self) -> dict[str, Any]:
        """Return the last notices, the newest first, and what became of the last on every channel."""
        return {
            "channels": [outcome.to_json() for outcome in self._last.values()],
            "notices": [
                {**notice.to_json(), "outcomes": [outcome.to_json() for outcome in outcomes]}
                for notice, outcomes in reversed(self._notices)
            ],
        }

    async def _deliver(self, channel: Channel, notice: Notice, source_of: str | None) -> Outcome:
        loop = asyncio.get_running_loop()
        began = loop.time()
        error = ""
        try:
            async with asyncio.timeout((channel.timeout + GRACE).total_seconds()):
                await self._send(channel, notice, source_of)
        except TimeoutError:
            error = f"no end within {format_duration(channel.timeout)}"
        except (NotifyError, CredentialsError, RequestError) as failure:
            error = str(failure)
        except Exception as failure:  # noqa: BLE001 - whatever it is, others are told
            # its text may hold a URL that is secret
            error = f"unexpected {type(failure).__name__}"
        return Outcome(
            channel=str(channel),
            kind=channel.kind,
            ok=not error,
            optional=channel.optional,
            error=error,
            took=timedelta(seconds=loop.time() - began),
            at=self._clock.now(),
        )

    async def _send(self, channel: Channel, notice: Notice, source_of: str | None) -> None:
        """Deliver a notice.

        Raises:
            NotifyError, CredentialsError, RequestError: it was not delivered.
        """
        message, seconds = notice.message(channel.message), channel.timeout.total_seconds()
        match channel:
            case Command():
                content = json.dumps({**notice.to_json(), "message": message}).encode()
                variables = {**notice.variables(), "message": message}
                await run_command(
                    channel.command,
                    content=content,
                    variables={f"IMDS_{name.upper()}": value for name, value in variables.items()},
                    environment=self._environment,
                    longest=seconds,
                )
            case Webhook():
                async with asyncio.timeout(seconds):
                    await self._post(channel, notice, message)
            case Sns() | EventBridge():
                async with asyncio.timeout(seconds):
                    await self._publish(channel, notice, message, source_of)
            case Desktop():
                await show(notice.subject(), message, environment=self._environment, longest=seconds)
            case Journal():
                if not journal.write(message, notice.variables()):
                    logger.warning("%s", message)
            case _:
                raise NotifyError(f"{channel} is no channel")

    async def _post(self, channel: Webhook, notice: Notice, message: str) -> None:
        told = _for_slack(message) if channel.slack else {**notice.to_json(), "message": message}
        secret = None
        if channel.secret_file is not None:
            secret = await asyncio.to_thread(read_secret, channel.secret_file)
        bundle = self._environment.get("AWS_CA_BUNDLE")
        await post(
            channel.url,
            json.dumps(told).encode(),
            secret=secret,
            seconds=int(self._clock.now().timestamp()),
            ca_bundle=Path(bundle) if bundle else None,
        )

    async def _publish(self, channel: Sns | EventBridge, notice: Notice, message: str, source_of: str | None) -> None:
        if channel.as_role is None and source_of is None:
            raise NotifyError("there are no credentials for it: write as: ROLE beside it")
        from imds.aws import notifying as aws  # noqa: PLC0415 - botocore is loaded in the background

        def call(clients: Any, credentials: Any) -> None:  # noqa: ANN401 - their modules import botocore
            client = clients.make(channel.service, credentials, region=channel.region)
            if isinstance(channel, Sns):
                aws.publish(client, topic_arn=channel.topic_arn, notice=notice, message=message)
            else:
                aws.put_event(client, bus=channel.bus, notice=notice, message=message)

        await self._keepers.call_aws(self._roles(), call, as_role=channel.as_role, source_of=source_of)


def _for_slack(message: str) -> dict[str, Any]:
    """Return a message as Slack reads it, in which nothing is markup or a mention."""
    escaped = message.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": escaped, "mrkdwn": False}
