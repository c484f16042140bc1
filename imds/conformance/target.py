"""The endpoint that is asked, and what all rules may know of it; each thing is asked once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from imds.conformance.masking import Secrets
from imds.conformance.rule import SkippedError
from imds.conformance.wire import NoAnswerError, Reply, request_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imds.conformance.wire import Endpoint

TOKEN_PATH: Final = "/latest/api/token"  # noqa: S105 - a path
TTL_HEADER: Final = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER: Final = "X-aws-ec2-metadata-token"  # noqa: S105 - a header's name
META_DATA: Final = "/latest/meta-data/"
DYNAMIC: Final = "/latest/dynamic/"
ROLES: Final = f"{META_DATA}iam/security-credentials/"

REQUIRED, OPTIONAL = "required", "optional"
OK, FORBIDDEN, NOT_FOUND = 200, 403, 404

MOST_PATHS: Final = 1000
"""Of a tree that are read."""

_HIDDEN = ("security-credentials", "/api/token", "user-data", "/credentials", "/role/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container-credentials endpoint.

    Attributes:
        path: of the credentials.
        token: what the ``Authorization`` header has; None sends none.
    """

    endpoint: Endpoint
    path: str
    token: str | None = field(repr=False)


class Target:
    """What is asked.

    Args:
        endpoint: of the metadata service.
        http_tokens: as it is meant to be; None takes what it is.
        role: that it is meant to have; None takes any.
        container: its container-credentials endpoint, where it has one.

    Attributes:
        until: nothing is asked after this moment of the steady clock.
        secrets: what it has handed out.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        http_tokens: str | None = None,
        role: str | None = None,
        container: Container | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.declared = http_tokens
        self.meant_role = role
        self.container = container
        self.until: float | None = None
        self.secrets = Secrets()
        if container is not None:
            self.secrets.add(container.token or "")
            self.secrets.add(container.path.rpartition("/")[2])

    def send(self, *pieces: bytes, endpoint: Endpoint | None = None, path: str = "", **how: Any) -> Reply:  # noqa: ANN401 - as exchange has them
        """Send bytes and return the answer; ``how`` is that of ``Endpoint.exchange``.

        Raises:
            NoAnswerError: there is none.
        """
        if self.until is not None and monotonic() > self.until:
            raise NoAnswerError("not asked: the time for this rule is up", late=True)
        hidden = any(word in path for word in _HIDDEN)
        reply = (endpoint or self.endpoint).exchange(*pieces, hidden=hidden, **how)
        self.secrets.learn(reply)
        return reply

    def ask(
        self,
        endpoint: Endpoint,
        method: str,
        target: str,
        headers: Mapping[str, str],
        *,
        body: bytes = b"",
        version: str = "1.1",
        **how: Any,  # noqa: ANN401 - as exchange has them
    ) -> Reply:
        """Send a request with exactly these headers."""
        raw = request_bytes(method, target, headers, version=version) + body
        return self.send(raw, endpoint=endpoint, path=target, head_only=method == "HEAD", **how)

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        *,
        host: str | None = "",
        **how: Any,  # noqa: ANN401 - as ask has them
    ) -> Reply:
        """Send a request to the metadata service; ``Host`` is the endpoint's, or ``host``, or none for None."""
        named = {"Host": host or self.endpoint.authority} if host is not None else {}
        return self.ask(self.endpoint, method, target, {**named, **(headers or {})}, **how)

    def put_token(self, ttl: str | None = "60", headers: Mapping[str, str] | None = None) -> Reply:
        """Ask for a session token."""
        sent = {TTL_HEADER: ttl} if ttl is not None else {}
        reply = self.request("PUT", TOKEN_PATH, {**sent, **(headers or {})})
        if reply.status == OK:
            self.secrets.add(reply.text.strip())
        return reply

    @cached_property
    def token(self) -> str | None:
        """A session token; None where none can be had."""
        try:
            reply = self.put_token("21600")
        except NoAnswerError:
            return None
        text = reply.text.strip()  # that it has no line end is a rule of its own
        return text if reply.status == OK and text.isascii() and text.isprintable() else None

    @cached_property
    def http_tokens(self) -> str:
        """Whether a token is needed: ``required`` or ``optional``."""
        status = self.request("GET", META_DATA).status
        return OPTIONAL if status == OK else REQUIRED

    @property
    def needed_token(self) -> str:
        """A session token.

        Raises:
            SkippedError: there is none.
        """
        if self.token is None:
            raise SkippedError("no session token is to be had")
        return self.token

    def as_client(self, headers: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return headers with a session token, where it is to be had.

        Raises:
            SkippedError: one is needed, and none is to be had.
        """
        if self.token is None and self.http_tokens == REQUIRED:
            raise SkippedError("no session token is to be had, and one is needed")
        return {**({TOKEN_HEADER: self.token} if self.token is not None else {}), **(headers or {})}

    def get(
        self,
        target: str,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        **how: Any,  # noqa: ANN401 - as request has them
    ) -> Reply:
        """Ask as a client that knows IMDSv2 does."""
        return self.request(method, target, self.as_client(headers), **how)

    @cached_property
    def roles(self) -> Reply:
        """The list of the role."""
        return self.get(ROLES)

    @property
    def role(self) -> str:
        """The role's name.

        Raises:
            SkippedError: there is none.
        """
        if self.roles.status != OK or not self.roles.lines:
            raise SkippedError("it has no role")
        return self.roles.lines[0].strip()

    @cached_property
    def document(self) -> Reply:
        """The role's credentials."""
        return self.get(ROLES + self.role)

    @cached_property
    def tree(self) -> Mapping[str, Reply]:
        """Every listing (its path ends with a slash) and every leaf below ``latest``, by its path."""
        found: dict[str, Reply] = {}
        waiting = [META_DATA, DYNAMIC]
        while waiting and len(found) < MOST_PATHS:
            path = waiting.pop(0)
            if path in found:
                continue
            found[path] = reply = self.get(path)
            if path.endswith("/") and reply.status == OK:
                waiting += list(children(path, reply))
        return found

    @property
    def listings(self) -> Mapping[str, Reply]:
        """The listings that answer."""
        return {path: reply for path, reply in self.tree.items() if path.endswith("/") and reply.status == OK}

    @property
    def leaves(self) -> Mapping[str, Reply]:
        """The leaves that answer."""
        return {path: reply for path, reply in self.tree.items() if not path.endswith("/") and reply.status == OK}

    def leaf(self, path: str) -> str:
        """Return the text of a leaf below ``latest``.

        Raises:
            SkippedError: it is not there.
        """
        reply = self.tree.get(f"/latest/{path}") or self.get(f"/latest/{path}")
        if reply.status != OK:
            raise SkippedError(f"{path} is not there")
        return reply.text


def children(directory: str, listing: Reply) -> Iterator[str]:
    """Yield the paths that a listing names; of public keys (``0=name``) the number is a directory."""
    for line in listing.lines:
        index, is_key, _ = line.partition("=")
        yield (
            f"{directory}{index}/" if is_key and directory.endswith("/public-keys/") else directory + line.strip("\r ")
        )
