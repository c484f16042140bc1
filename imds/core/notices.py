"""Notices: what people and programs are told when a role of theirs is asked for, used or waits for somebody.

Every text in one was chosen by somebody or by a process, so it is made printable, of one line and of bounded length
before anything is done with it. No secret is in any of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from imds.core.callers import printable
from imds.core.leases import LONGEST_REASON
from imds.core.templates import expand
from imds.core.timestamps import timestamp

if TYPE_CHECKING:
    from datetime import datetime

ASKED, ACTIVATED, REFUSED, ENDED = "asked", "activated", "refused", "ended"
WAITING = "waiting"

SUBJECTS = {
    ASKED: "{user} asks for break-glass role {role}: approval wanted",
    ACTIVATED: "{user} has activated break-glass role {role}",
    REFUSED: "break-glass role {role} was refused to {user}",
    ENDED: "break-glass role {role} of {user} has ended",
    WAITING: "role {role} waits for you",
}
"""By event, what stands first."""

LABELS = {
    "reason": "Reason",
    "because": "Because",
    "role_arn": "Role",
    "ends": "Until",
    "instance": "Instance",
    "id": "Id",
}
"""What follows, a line each, as far as it is known."""

VARIABLES = (
    *("event", "time", "role", "role_arn", "id", "user", "uid", "instance", "reason", "ends", "because", "host"),
    *("region", "account_id", "subject"),
)
"""What ``{name}`` may be in a text of the operator's own."""

LONGEST_TEXT = 256
"""Characters of anything but a reason."""

LONGEST_MESSAGE = 8000
"""Characters of a whole message, whatever a template makes of it."""

_IN_BRACES = re.compile(r"\{\{[a-z_]+\}\}|\{([^{}]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing to tell.

    Attributes:
        event: one of ``SUBJECTS``.
        at: when, UTC.
        role: its name in the configuration.
        role_arn: None where it has none.
        id: of the activation or the lease; empty for none.
        user: who asked, or for whom it waits; the name, or what there is in its stead.
        uid: likewise, as a number.
        instance: that the user sees; empty for none.
        reason: as it was given.
        ends: when what was given ends, or by when somebody is needed, UTC.
        because: why it was refused, has ended or waits.
        host: this machine's name.
        region: the role's, where it is known.
        account_id: likewise.
    """

    event: str
    at: datetime
    role: str
    role_arn: str | None = None
    id: str = ""
    user: str
    uid: int
    instance: str = ""
    reason: str = ""
    ends: datetime | None = None
    because: str = ""
    host: str
    region: str | None = None
    account_id: str | None = None

    def __post_init__(self) -> None:
        """Make every text harmless, whoever chose it.

        Raises:
            ValueError: there is no such event.
        """
        if self.event not in SUBJECTS:
            raise ValueError(f"{self.event!r} is no event: {', '.join(SUBJECTS)}")
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str):
                object.__setattr__(self, field.name, _fit(field.name, value))

    def subject(self) -> str:
        """Return in one line what has happened."""
        return expand(f"{SUBJECTS[self.event]} on {{host}}", self._texts()) or self.event

    def text(self) -> str:
        """Return all of it for people: the subject, and a line for everything else that is known."""
        texts = self._texts()
        lines = [f"{label}: {texts[name]}" for name, label in LABELS.items() if texts[name]]
        if self.event == ASKED and self.id:
            lines.append(f"Approve: imds approve {self.id}")
        return "\n".join([self.subject(), *lines, f"User: {self.user} (uid {self.uid})", f"Time: {texts['time']}"])

    def message(self, template: str | None) -> str:
        """Return what a channel tells people: a ``template`` filled in, the text above where there is none.

        A text that is filled in is not looked through for names again.
        """
        filled = expand(template, self.variables()) if template is not None else self.text()
        message = (filled or "").strip() or self.subject()
        return message if len(message) <= LONGEST_MESSAGE else message[: LONGEST_MESSAGE - 1] + "…"

    def variables(self) -> dict[str, str]:
        """Return what every name of ``VARIABLES`` stands for; empty where nothing is known."""
        return self._texts() | {"subject": self.subject()}

    def to_json(self) -> dict[str, Any]:
        """Return it for programs; what is not known is null."""
        texts: dict[str, Any] = {name: text or None for name, text in self.variables().items()}
        return texts | {"uid": self.uid}

    def _texts(self) -> dict[str, str]:
        return {
            "event": self.event,
            "time": timestamp(self.at),
            "role": self.role,
            "role_arn": self.role_arn or "",
            "id": self.id,
            "user": self.user,
            "uid": str(self.uid),
            "instance": self.instance,
            "reason": self.reason,
            "ends": timestamp(self.ends) if self.ends is not None else "",
            "because": self.because,
            "host": self.host,
            "region": self.region or "",
            "account_id": self.account_id or "",
        }


def mistake_in(template: str) -> str | None:
    """Return what is wrong with a text of the operator's own; None for nothing."""
    for found in _IN_BRACES.finditer(template):
        name = found[1]
        if name is not None and name not in VARIABLES:
            return f"{{{name}}} stands for nothing; there are: {', '.join(f'{{{known}}}' for known in VARIABLES)}"
    if set("{}") & set(_IN_BRACES.sub("", template)):
        return "has a brace that belongs to no {name}; {{name}} stands for {name} as it is written"
    return None


def _fit(name: str, text: str) -> str:
    """Return a text of one printable line, and of bounded length."""
    longest = LONGEST_REASON if name in ("reason", "because") else LONGEST_TEXT
    text = printable(text[: longest + 1])
    return text if len(text) <= longest else text[: longest - 1] + "…"
