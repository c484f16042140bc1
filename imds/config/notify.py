"""``notify``: over which channels people and programs are told."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from imds.config.channels import Channel, Command, Desktop, EventBridge, Journal, Sns, Webhook
from imds.config.sources.reading import missing, read_command
from imds.core.notices import mistake_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.config.document import Node

KINDS = ("command", "webhook", "sns", "eventbridge", "desktop", "journal")
KEYS = ("optional", "timeout", "message")
"""What may stand beside each kind."""

WEBHOOK_KEYS = ("url", "secret_file", "format")
SNS_KEYS = ("topic_arn", "as")
EVENTBRIDGE_KEYS = ("bus", "as")
JSON, SLACK = "json", "slack"

SHORTEST_TIMEOUT, LONGEST_TIMEOUT = timedelta(seconds=1), timedelta(minutes=1)
LONGEST_MESSAGE, LONGEST_URL, MOST_CHANNELS = 2000, 2000, 20

TOPIC_ARN = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}(?:\.fifo)?", re.ASCII)
BUS = re.compile(r"(?:arn:aws[a-z-]*:events:[a-z0-9-]+:\d{12}:event-bus/)?[/.A-Za-z0-9_-]{1,256}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|[0-9a-f:.]{2,45}", re.IGNORECASE)

BARE: Mapping[str, type[Desktop | Journal]] = {"desktop": Desktop, "journal": Journal}
"""Kinds of which nothing has to be said."""


def read_channels(node: Node | None, roles: tuple[str, ...], *, needs_as: bool = False) -> tuple[Channel, ...]:
    """Return the channels of a ``notify``, in its order, without those that have mistakes.

    Args:
        node: the list; None for none.
        roles: the names of those whose credentials may publish at AWS, so no break-glass role.
        needs_as: whether a channel at AWS has to name one, since there is no role whose source could be taken.
    """
    channels: list[Channel] = []
    items = node.items() if node is not None else []
    if node is not None and len(items) > MOST_CHANNELS:
        node.wrong(f"has {len(items)} channels; there may be {MOST_CHANNELS}")
    for item in items:
        channel = _read_channel(item, roles, needs_as=needs_as)
        if channel is not None and channel in channels:
            item.wrong("stands twice")
        elif channel is not None:
            channels.append(channel)
    return tuple(channels)


def _read_channel(node: Node, roles: tuple[str, ...], *, needs_as: bool) -> Channel | None:
    mistakes = len(node.problems.found)
    if node.is_scalar:
        return _read_bare(node)
    entries = node.section(*KINDS, *KEYS)
    kinds = [key for key in entries if key in KINDS]
    if len(node.problems.found) == mistakes and len(kinds) != 1:
        node.wrong(f"has {' and '.join(kinds)}: keep one" if kinds else f"must have exactly one of {', '.join(KINDS)}")
    settings = _read_settings(entries)
    if len(kinds) != 1:
        return None
    channel = _read_kind(kinds[0], entries[kinds[0]], roles, needs_as=needs_as)
    return replace(channel, **settings) if channel is not None and len(node.problems.found) == mistakes else None


def _read_bare(node: Node) -> Channel | None:
    text = node.text(what=f"one of {', '.join(BARE)}, or a mapping such as {{command: [PROGRAM]}}")
    if text is not None and "/" in text:  # a URL, perhaps: it is not repeated
        node.wrong("must be a mapping: {webhook: URL} or {command: [PROGRAM]}")
        return None
    kind = node.one_of(*BARE) if text is not None else None
    return BARE[kind]() if kind is not None else None


def _read_kind(kind: str, node: Node, roles: tuple[str, ...], *, needs_as: bool) -> Channel | None:
    if kind in BARE:
        if not node.is_null:
            node.wrong(f"takes nothing: write {kind}: null, and optional, timeout or message beside it")
        return BARE[kind]()
    if kind == "command":
        command = read_command(node)
        return Command(command=command) if command is not None else None
    if kind == "webhook":
        return _read_webhook(node)
    return (_read_sns if kind == "sns" else _read_event_bus)(node, roles, needs_as)


def _read_settings(entries: Mapping[str, Node]) -> dict[str, Any]:
    """Return what may stand beside every kind."""
    settings: dict[str, Any] = {}
    if "optional" in entries:
        settings["optional"] = bool(entries["optional"].boolean())
    if "timeout" in entries:
        settings["timeout"] = entries["timeout"].duration(SHORTEST_TIMEOUT, LONGEST_TIMEOUT)
    if "message" in entries:
        settings["message"] = _read_message(entries["message"])
    return settings


def _read_message(node: Node) -> str | None:
    text = node.text(what="a text, which may have {names} in it")
    if text is None:
        return None
    if len(text) > LONGEST_MESSAGE:
        node.wrong(f"has {len(text)} characters; there may be {LONGEST_MESSAGE}")
    elif (mistake := mistake_in(text)) is not None:
        node.wrong(mistake)
    return text


def _read_webhook(node: Node) -> Webhook | None:
    entries = node.section(*WEBHOOK_KEYS) if not node.is_scalar else {"url": node}
    if missing(node, entries, "url"):
        return None
    url = _read_url(entries["url"])
    secret_file = entries["secret_file"].path() if "secret_file" in entries else None
    style = entries["format"].one_of(JSON, SLACK) if "format" in entries else JSON
    return Webhook(url=url, secret_file=secret_file, slack=style == SLACK) if url is not None else None


def _read_url(node: Node) -> str | None:
    """Return a URL; a mistake does not repeat it, since it may hold a secret."""
    text = node.text(what="a URL such as https://hooks.example.com/imds")
    mistake = _mistake_in_url(text) if text is not None else None
    if mistake is not None:
        node.wrong(mistake)
    return text if mistake is None else None


def _mistake_in_url(text: str) -> str | None:
    if len(text) > LONGEST_URL or not re.fullmatch(r"[!-~]+", text):
        return f"must be a URL of at most {LONGEST_URL} printable ASCII characters"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is no URL: write https://HOST/PATH"
    if parts.scheme not in ("https", "http") or not _HOST.fullmatch(host):
        return "is no URL: write https://HOST/PATH"
    if "@" in parts.netloc or "#" in text:
        return "may not have a user, a password or a fragment (#) in it"
    if parts.scheme == "http" and not _is_loopback(host):
        return "is not encrypted: write https:// (http:// is for loopback addresses only)"
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_sns(node: Node, roles: tuple[str, ...], needs_as: bool) -> Sns | None:  # noqa: FBT001 - handed through
    entries = node.section(*SNS_KEYS) if not node.is_scalar else {"topic_arn": node}
    if missing(node, entries, "topic_arn"):
        return None
    what = "the ARN of a topic (arn:aws:sns:eu-west-1:123456789012:NAME)"
    topic = entries["topic_arn"].matching(TOPIC_ARN, what)
    as_role = _read_as(node, entries.get("as"), roles, needs_as=needs_as)
    return Sns(topic_arn=topic, as_role=as_role) if topic is not None else None


def _read_event_bus(node: Node, roles: tuple[str, ...], needs_as: bool) -> EventBridge | None:  # noqa: FBT001 - as above
    entries = node.section(*EVENTBRIDGE_KEYS) if not node.is_scalar else {"bus": node}
    if missing(node, entries, "bus"):
        return None
    bus = entries["bus"].matching(BUS, "the name or the ARN of an event bus, such as default")
    as_role = _read_as(node, entries.get("as"), roles, needs_as=needs_as)
    return EventBridge(bus=bus, as_role=as_role) if bus is not None else None


def _read_as(node: Node, named: Node | None, roles: tuple[str, ...], *, needs_as: bool) -> str | None:
    """Return the role whose credentials publish; None for the source of the role that it is about."""
    if named is None:
        if needs_as:
            node.wrong("does not say with whose credentials: write as: ROLE in it")
        return None
    role = named.text(what="the name of a role")
    if role is not None and role not in roles:
        named.wrong(f"{role!r} is no role that may do this, as break-glass roles may not; there are: {_names(roles)}")
        return None
    return role


def _names(roles: tuple[str, ...]) -> str:
    return ", ".join(roles) or "none"
