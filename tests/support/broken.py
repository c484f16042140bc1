"""Metadata services that are broken in one way each, made by altering what a sound one is asked or answers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from time import sleep
from typing import TYPE_CHECKING, Any

from support.altering import END

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.altering import Answered, Asked

    Change = Callable[["Answer"], "Answer"]

TOKEN = "/latest/api/token"
META = "/latest/meta-data/"
ROLES = f"{META}iam/security-credentials/"
DOCUMENT = f"{ROLES}app"
IDENTITY = "/+latest/dynamic/instance-identity/+document"
CONTAINER = r"/+v2/credentials/\S+"
TTL = "X-aws-ec2-metadata-token-ttl-seconds"
SESSION = "X-aws-ec2-metadata-token"
EVERY = ".*"


@dataclass(frozen=True)
class Answer:
    """An answer, in parts."""

    status: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Answer:
        head, _, body = raw.partition(END)
        status, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        return cls(status, tuple((name, value) for name, _, value in pairs), body)

    @property
    def raw(self) -> bytes:
        lines = [self.status, *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join(lines).encode("latin-1") + END + self.body

    def has(self, status: int) -> bool:
        return self.status.startswith(f"HTTP/1.1 {status} ")


def becomes(status: str, text: bytes = b"") -> Change:
    """Another answer altogether."""
    return lambda answer: body(lambda _: text)(replace(answer, status=f"HTTP/1.1 {status}"))


def body(change: Callable[[bytes], bytes]) -> Change:
    """Another body, framed as it has to be."""

    def changed(answer: Answer) -> Answer:
        text = change(answer.body)
        return header("Content-Length", str(len(text)))(replace(answer, body=text))

    return changed


def header(name: str, value: str | None) -> Change:
    """Another value in a header that is there, or None to leave it out."""
    return lambda answer: replace(
        answer,
        headers=tuple(
            (each, old if each.lower() != name.lower() else value)
            for each, old in answer.headers
            if each.lower() != name.lower() or value is not None
        ),
    )


def extra(name: str, value: str) -> Change:
    """A header more."""
    return lambda answer: replace(answer, headers=(*answer.headers, (name, value)))


def fields(**changes: Any) -> Change:
    """Other fields in a JSON document, laid out as before; None leaves one out."""

    def changed(text: bytes) -> bytes:
        found = json.loads(text) | changes
        compact = b" : " not in text
        kept = {name: value for name, value in found.items() if value is not None or name not in changes}
        separators = (",", ":") if compact else (",", " : ")
        return json.dumps(kept, indent=None if compact else 2, separators=separators).encode()

    return lambda answer: body(changed)(answer) if answer.has(200) else answer


def chain(*changes: Change) -> Change:
    """Several of them."""

    def changed(answer: Answer) -> Answer:
        for change in changes:
            answer = change(answer)
        return answer

    return changed


def only(status: int, change: Change) -> Change:
    """Where an answer has this status."""
    return lambda answer: change(answer) if answer.has(status) else answer


def on(path: str, change: Change, *, method: str = "GET") -> Answered:
    """Change answers to requests for a path, a pattern."""

    def answered(request: bytes, raw: bytes) -> bytes:
        found = re.match(rb"([A-Z]+) (\S+) HTTP/1\.[01]\r\n", request)
        if not raw.startswith(b"HTTP/1") or found is None:
            return raw
        if not re.fullmatch(method, found[1].decode()) or not re.fullmatch(path, found[2].decode("latin-1")):
            return raw
        return change(Answer.parse(raw)).raw

    return answered


def each(*answered: Answered) -> Answered:
    """Several of them."""

    def all_of_them(request: bytes, raw: bytes) -> bytes:
        for one in answered:
            raw = one(request, raw)
        return raw

    return all_of_them


def where(pattern: str, change: Change) -> Answered:
    """Change answers to requests that have a pattern."""
    found = re.compile(pattern.encode("latin-1"), re.IGNORECASE)
    return lambda request, raw: (
        change(Answer.parse(raw)).raw if raw.startswith(b"HTTP/1") and found.search(request) else raw
    )


def swap(pattern: str, to: str, *, case: bool = False) -> Asked:
    """Ask for something else."""
    found = re.compile(pattern.encode("latin-1"), re.NOFLAG if case else re.IGNORECASE)
    return lambda request: found.sub(to.encode("latin-1"), request)


def without(*names: str) -> Asked:
    """Take no notice of headers."""
    return swap(rf"\r\n(?:{'|'.join(names)}):[^\r\n]*", "")


def late(seconds: float) -> Change:
    """The same answer, later."""

    def changed(answer: Answer) -> Answer:
        sleep(seconds)
        return answer

    return changed


def same(request: bytes) -> bytes:
    """Ask for what was asked for."""
    return request


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A broken server.

    Attributes:
        fails: rules that fail at least; others of their themes may.
        also: themes of which rules may fail besides.
        mode: ``http_tokens`` of the server behind it.
        declared: what it is said to be; None for what it is.
        looked_at: rules or themes that are looked at; all where there are none.
        most: connections at once.
        slow: whether it is asked while others are, for it takes time, with the rules that wait.
        keeps_open: whether connections stay open behind the answer.
        closes: whether they are closed behind it.
        container: whether its container credentials are asked too.
    """

    fails: frozenset[str]
    asked: Asked = same
    answered: Answered = field(default=lambda _, raw: raw)
    also: frozenset[str] = frozenset()
    mode: str = "required"
    declared: str | None = None
    looked_at: frozenset[str] = frozenset()
    most: int = 0
    slow: bool = False
    keeps_open: bool = False
    closes: bool = False
    container: bool = False


def broken(*fails: str, also: tuple[str, ...] = (), looked_at: tuple[str, ...] = (), **how: Any) -> Broken:
    """Return a broken server; see there."""
    return Broken(fails=frozenset(fails), also=frozenset(also), looked_at=frozenset(looked_at), **how)
