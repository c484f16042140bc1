"""Sources ``{instance_metadata: …}`` and ``{container: …}``: the machine's own role, where it runs on EC2, ECS or EKS.

botocore's fetchers are used directly, so that they work although the daemon's environment keeps every other part of
botocore away from metadata services. None of our own addresses is ever asked.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.exceptions import MetadataRetrievalError
from botocore.utils import ContainerMetadataFetcher, InstanceMetadataFetcher

from imds.aws.files import read_file
from imds.aws.sources.documents import CONTAINER, INSTANCE, read_credentials
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from imds.aws.sts import SourceCredentials

    IsOwn = Callable[[str, int], bool]
    """Whether this daemon answers at an IP address and a port."""

TIMEOUT, ATTEMPTS = 2, 2
MOST_BYTES = 64 * 1024
ECS = "http://169.254.170.2"
"""Where ``AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`` points to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerEndpoint:
    """A container-credentials endpoint, and the secret that opens it."""

    url: str
    authorization: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse a token that no header can hold.

        Raises:
            CredentialsError: it has a line break in it, for example.
        """
        if not (self.authorization or "").isprintable():
            raise CredentialsError(
                "InvalidToken",
                "the authorization token has a line break or another odd character",
                action=Action.CONFIG,
            )


def load_instance_metadata(endpoint: str, is_own: IsOwn) -> SourceCredentials:
    """Return the credentials of the instance's role, IMDSv2 only; blocks."""
    refuse_ourselves(endpoint, is_own)
    fetcher = _Fetcher(
        timeout=TIMEOUT,
        num_attempts=ATTEMPTS,
        env={},
        config={"ec2_metadata_service_endpoint": endpoint.rstrip("/") + "/", "ec2_metadata_v1_disabled": True},
    )
    with _told(endpoint):
        given = fetcher.retrieve_iam_role_credentials()
    if not given:
        raise _no_credentials(endpoint)
    return read_credentials(given, INSTANCE, of=_place(endpoint))


class _Fetcher(InstanceMetadataFetcher):
    """botocore's, which believes that credentials about to end live on; we must not serve such a belief."""

    def _evaluate_expiration(self, credentials: dict[str, Any]) -> None:
        """Leave the expiration as the service gave it."""


def load_container(endpoint: Callable[[], ContainerEndpoint], is_own: IsOwn) -> SourceCredentials:
    """Return the credentials of the task's or the pod's role; blocks."""
    asked = endpoint()
    refuse_ourselves(asked.url, is_own)
    headers = {"Authorization": asked.authorization} if asked.authorization is not None else None
    with _told(asked.url):
        given: Mapping[str, Any] = ContainerMetadataFetcher().retrieve_full_uri(asked.url, headers=headers)
    return read_credentials(given, CONTAINER, of=_place(asked.url))


def endpoint_with_file(url: str, token_file: Path | None) -> ContainerEndpoint:
    """Return an endpoint whose token is in a file, which is read each time because EKS rotates it."""
    return ContainerEndpoint(url=url, authorization=_read_token(token_file) if token_file is not None else None)


def endpoint_of_environment(environment: Mapping[str, str]) -> ContainerEndpoint:
    """Return the endpoint that ECS, EKS and their like name in the environment.

    Source: AWS SDKs and Tools Reference Guide, "Container credential provider".

    Raises:
        CredentialsError: they name none.
    """
    relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    url = ECS + relative if relative else environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if not url:
        raise CredentialsError(
            "NoContainerCredentials",
            "the daemon's environment has neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor …_FULL_URI",
            action=Action.CONFIG,
        )
    file = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    if file:
        return ContainerEndpoint(url=url, authorization=_read_token(Path(file)))
    return ContainerEndpoint(url=url, authorization=environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"))


def refuse_ourselves(url: str, is_own: IsOwn) -> None:
    """Refuse a URL that leads to this daemon, by whatever name.

    Raises:
        CredentialsError: it does, or its host has no address.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise CredentialsError("MetadataService", f"{_place(url)}: {error.strerror}", action=Action.RETRY) from error
    if any(is_own(str(address[0]).removeprefix("::ffff:"), port) for *_, address in found):
        raise CredentialsError(
            "OwnAddress", f"{_place(url)} is this very daemon: a source must be another service", action=Action.CONFIG
        )


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Name the service in botocore's failure, whose own text repeats what the service answered."""
    try:
        yield
    except MetadataRetrievalError as error:
        raise _no_credentials(url) from error


def _no_credentials(url: str) -> CredentialsError:
    return CredentialsError("MetadataService", f"{_place(url)} gives no credentials", action=Action.RETRY)


def _place(url: str) -> str:
    """Return what may be shown of a URL: on ECS its path opens the credentials."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _read_token(file: Path) -> str:
    return read_file(file, MOST_BYTES).decode(errors="replace").strip()
