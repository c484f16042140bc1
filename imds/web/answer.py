"""An answer, and its bytes: header order, case and framing as EC2 sends them.

Source: captures of EC2 (2024-06, 2025-07); the XHTML page is byte for byte the one in smithy-rs' recording
``imds_no_iam_role``.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from imds.core.audit import Given

TOKEN_TTL = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"  # noqa: S105 - a header's name

_XHTML = """\
<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
\t\t "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>{title}</title>
 </head>
 <body>
  <h1>{title}</h1>
 </body>
</html>
"""
NOT_FOUND = _XHTML.format(title="404 - Not Found").encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One response.

    Attributes:
        status: the HTTP status.
        before: headers that stand before ``Date`` and ``Server``.
        after: headers that stand at the end.
        body: complete; there is no other framing than ``Content-Length``.
        keep_alive: whether the connection may serve another request; the metadata service always closes.
        hops: how many hosts far it may travel (the IP TTL of a token response); None for any number.
        because: why nothing of substance is in it; for the log, never sent.
        given: the credentials in it; for the audit.
        reset: whether the connection is reset instead; simulated.
        fault: what is simulated; for the audit.
    """

    status: int
    before: tuple[tuple[str, str], ...] = ()
    after: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    keep_alive: bool = False
    hops: int | None = None
    because: str = ""
    given: Given | None = None
    reset: bool = False
    fault: str = ""

    def to_bytes(self, now: datetime, *, head_only: bool = False) -> bytes:
        """Return the response as sent at ``now``."""
        lines = [f"HTTP/1.1 {self.status} {_reason(self.status)}"]
        lines += [f"{name}: {value}" for name, value in self.before]
        lines += [f"Content-Length: {len(self.body)}", f"Date: {http_date(now)}", "Server: EC2ws"]
        if not self.keep_alive:
            lines.append("Connection: close")
        lines += [f"{name}: {value}" for name, value in self.after]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        return head if head_only else head + self.body


def token(value: str, ttl: int, hops: int) -> Answer:
    """Answer a token request; the answer travels ``hops`` hosts far."""
    return Answer(
        status=200,
        before=((TOKEN_TTL, str(ttl)),),
        after=(("Content-Type", "text/plain"),),
        body=value.encode(),
        hops=hops,
    )


def text(body: str, *, modified: datetime, token_ttl: int | None) -> Answer:
    """Answer a GET; ``token_ttl`` is what is left of the token that was sent, in seconds."""
    return Answer(
        status=200,
        before=(
            *_ttl(token_ttl),
            ("Content-Type", "text/plain"),
            ("Accept-Ranges", "none"),
            ("Last-Modified", http_date(modified)),
        ),
        body=body.encode(),
    )


def user_data(content: bytes, *, modified: datetime, token_ttl: int | None) -> Answer:
    """Answer with user data, which may be anything."""
    before = (
        *_ttl(token_ttl),
        ("Content-Type", "application/octet-stream"),
        ("Accept-Ranges", "none"),
        ("Last-Modified", http_date(modified)),
    )
    return Answer(status=200, before=before, body=content)


def not_found(token_ttl: int | None = None, *, because: str) -> Answer:
    """Answer for what does not exist."""
    before = (*_ttl(token_ttl), ("Content-Type", "text/html"))
    return Answer(status=404, before=before, body=NOT_FOUND, because=because)


def empty(status: int, *, allow: str | None = None, because: str = "") -> Answer:
    """Answer with a status alone; a text would be taken for a role's name by awscrt and GDAL."""
    before = (("Allow", allow),) if allow is not None else ()
    return Answer(status=status, before=before, after=(("Content-Type", "text/plain"),), because=because)


def json_document(body: str, *, status: int = 200, because: str = "") -> Answer:
    """Answer of the container-credentials endpoint; no charset, or Go's SDK does not read an error."""
    return Answer(
        status=status,
        before=(("Content-Type", "application/json"),),
        body=body.encode(),
        keep_alive=True,
        because=because,
    )


def http_date(moment: datetime) -> str:
    """Return ``moment`` (UTC) as HTTP writes it."""
    return _http_date(int(moment.timestamp()))


@lru_cache(maxsize=64)
def _http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


@lru_cache(maxsize=64)
def _reason(status: int) -> str:
    # EC2 says "Not Allowed" where the standard says "Method Not Allowed"
    return "Not Allowed" if status == HTTPStatus.METHOD_NOT_ALLOWED else HTTPStatus(status).phrase


def _ttl(token_ttl: int | None) -> tuple[tuple[str, str], ...]:
    return ((TOKEN_TTL, str(token_ttl)),) if token_ttl is not None else ()
