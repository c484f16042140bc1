"""Tells whoever listens at AWS: a message to a topic of SNS, an event to an event bus."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from imds.core.notices import Notice

LONGEST_SUBJECT = 100
"""Characters that SNS takes in a subject, all of ASCII."""

EVENT_SOURCE = "imds"


def publish(client: Any, *, topic_arn: str, notice: Notice, message: str) -> None:  # noqa: ANN401 - botocore's
    """Publish a message to a topic, with what subscriptions can filter by; blocks.

    Raises:
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: it was not taken.
    """
    known = {"event": notice.event, "role": notice.role, "user": notice.user, "host": notice.host}
    request: dict[str, Any] = {
        "TopicArn": topic_arn,
        "Subject": notice.subject().encode("ascii", "replace").decode().strip()[:LONGEST_SUBJECT],
        "Message": message,
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value} for name, value in known.items() if value
        },
    }
    if topic_arn.endswith(".fifo"):
        one = f"{notice.event}-{notice.id}-{notice.at.timestamp():.6f}".replace(" ", "-")
        request |= {"MessageGroupId": "imds", "MessageDeduplicationId": one[:128]}
    client.publish(**request)


def put_event(client: Any, *, bus: str, notice: Notice, message: str) -> None:  # noqa: ANN401 - botocore's
    """Put an event on a bus; blocks.

    Raises:
        CredentialsError: the bus did not take it.
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: there was no answer, or a refusal.
    """
    entry: dict[str, Any] = {
        "Time": notice.at,
        "Source": EVENT_SOURCE,
        "DetailType": f"imds {notice.event}",
        "Detail": json.dumps({**notice.to_json(), "message": message}),
        "EventBusName": bus,
        "Resources": [notice.role_arn] if notice.role_arn else [],
    }
    answer = client.put_events(Entries=[entry])
    if answer.get("FailedEntryCount"):
        failed = answer["Entries"][0]
        code, words = str(failed.get("ErrorCode", "Failed")), str(failed.get("ErrorMessage", ""))
        raise CredentialsError(code, words or "the bus did not take the event", action=Action.CONFIG)
