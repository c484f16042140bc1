"""The channels over which people and programs are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

DEFAULT_TIMEOUT = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One way to tell somebody; its text is for people, and holds no secret.

    Attributes:
        kind: the key of the configuration.
        optional: whether it does not matter when it fails.
        timeout: after which it has failed.
        message: a template in place of our own words; None for those.
    """

    kind: ClassVar[str]
    optional: bool = False
    timeout: timedelta = DEFAULT_TIMEOUT
    message: str | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it reads."""
        return ()

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs that it runs."""
        return ()

    def __str__(self) -> str:
        return self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Channel):
    """A program, which reads JSON."""

    kind: ClassVar[str] = "command"
    command: tuple[str, ...]

    @property
    def programs(self) -> tuple[str, ...]:
        """The program."""
        return self.command[:1]

    def __str__(self) -> str:
        return f"command {Path(self.command[0]).name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook(Channel):
    """An address that JSON is posted to.

    Attributes:
        url: who knows it may be able to post there, so no more than its host is ever shown.
        secret_file: has what our requests are signed with.
        slack: whether the JSON is as Slack reads it.
    """

    kind: ClassVar[str] = "webhook"
    url: str = field(repr=False)
    secret_file: Path | None = None
    slack: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        """The secret's."""
        return (self.secret_file,) if self.secret_file is not None else ()

    @property
    def place(self) -> str:
        """Scheme, host and port."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def __str__(self) -> str:
        return f"webhook {self.place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sns(Channel):
    """A topic of SNS; ``as_role`` is whose credentials publish, None for those of what the role comes from."""

    kind: ClassVar[str] = "sns"
    service: ClassVar[str] = "sns"
    topic_arn: str
    as_role: str | None = None

    @property
    def region(self) -> str:
        """The topic's."""
        return self.topic_arn.split(":")[3]

    def __str__(self) -> str:
        return f"sns {self.topic_arn}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBridge(Channel):
    """An event bus, by its name or ARN; ``as_role`` is as for SNS."""

    kind: ClassVar[str] = "eventbridge"
    service: ClassVar[str] = "events"
    bus: str
    as_role: str | None = None

    @property
    def region(self) -> str | None:
        """The bus's, where its ARN says it."""
        return self.bus.split(":")[3] if self.bus.startswith("arn:") else None

    def __str__(self) -> str:
        return f"eventbridge {self.bus}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desktop(Channel):
    """The notifications of the desktop of the daemon's own user."""

    kind: ClassVar[str] = "desktop"

    @property
    def programs(self) -> tuple[str, ...]:
        """What speaks to it."""
        return ("busctl",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal(Channel):
    """systemd's journal; the daemon's own log where there is none."""

    kind: ClassVar[str] = "journal"
