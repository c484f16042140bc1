"""Source ``{profile: NAME}``: whatever ``~/.aws`` can say, read by botocore and bounded by us.

Keys, assume-role chains, web identity, Identity Center (SSO), ``aws login`` and ``credential_process`` all work as in
the AWS CLI. Three hazards of botocore are kept out (each has a test): a Session that loads credentials twice or in two
threads invents an ``InfiniteLoopConfigError``, so every load has a Session of its own; a profile that names a metadata
service would ask this very daemon; and a ``credential_process`` may hang, print without end or read our standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config
from botocore.credentials import ProcessProvider

from imds.aws.sources import OpenSource
from imds.aws.sts import SourceCredentials
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from imds.aws.threads import AwsThreads

logger = logging.getLogger(__name__)

CLIENT_CONFIG = Config(connect_timeout=3, read_timeout=8, retries={"mode": "standard", "total_max_attempts": 1})
"""One attempt each: the schedule owns the back-off."""

PROCESS_TIMEOUT = 30.0
"""Seconds for a ``credential_process``."""

PROCESS_OUTPUT = 64 * 1024
"""Bytes of JSON that a ``credential_process`` may print."""

KEEP = timedelta(minutes=5)
"""Credentials without a known end are read again after this, so that keys rotated on disk are noticed."""

RESERVE = timedelta(minutes=5)
"""Temporary source credentials are renewed with this much left."""

FALLBACK_REGION = "us-east-1"


class ProfileSource:
    """One profile; ``profile`` None is AWS's default chain, environment keys first, without metadata services."""

    def __init__(self, *, profile: str | None, region: str | None, threads: AwsThreads) -> None:
        self._profile = profile
        self._region = region
        self._threads = threads
        self._loading = asyncio.Lock()
        self._opened: OpenSource | None = None
        self._good_until = self._loaded = datetime.min.replace(tzinfo=UTC)
        self._session: botocore.session.Session | None = None
        self._making_client = threading.Lock()

    async def open(self, now: datetime, *, not_before: datetime | None = None) -> OpenSource:
        """Return the profile's credentials; one load serves every role that waits for it."""
        async with self._loading:
            recent = not_before is None or self._loaded >= not_before
            if self._opened is not None and recent and now < self._good_until:
                return self._opened
            self._opened = None
            opened = await self._threads.run(self._load)
            expiration = opened.credentials.expiration
            self._good_until = now + KEEP if expiration is None else expiration - RESERVE
            self._opened, self._loaded = opened, now
            return opened

    async def client(self, credentials: SourceCredentials) -> Any:  # noqa: ANN401 - botocore makes its clients at run time
        """Return an STS client for other credentials, with this profile's region, endpoint, proxy and CA settings."""
        return await self._threads.run(lambda: self._make_client(credentials))

    def _load(self) -> OpenSource:
        session = new_session(self._profile)
        if session.get_config_variable("region") is None:  # the profile's own assume-role calls want one, too
            session.set_config_variable("region", self._region or FALLBACK_REGION)
        refuse_metadata_sources(session, self._profile)
        resolver = session.get_component("credential_provider")
        _bound(resolver)
        loaded = resolver.load_credentials()
        if loaded is None:
            named = f"profile {self._profile}" if self._profile else "the environment and the default profile"
            raise CredentialsError(
                "NoCredentials",
                f"no credentials in {named}: see `aws configure list`",
                action=Action.CONFIG,
            )
        try:
            frozen = loaded.get_frozen_credentials()
        except RuntimeError as error:  # botocore's word for credentials that come expired
            if "expired" not in str(error):
                raise
            raise CredentialsError(
                "ExpiredToken", "the profile's credentials have expired already", action=Action.REAUTHENTICATE
            ) from error
        expires = getattr(loaded, "_expiry_time", None)  # botocore has no public name for it
        credentials = SourceCredentials(
            access_key_id=frozen.access_key,
            secret_access_key=frozen.secret_key,
            session_token=frozen.token or None,
            expiration=expires.astimezone(UTC) if expires is not None else None,
        )
        with self._making_client:
            self._session = session
        return OpenSource(credentials=credentials, client=self._make_client(credentials))

    def _make_client(self, credentials: SourceCredentials) -> Any:  # noqa: ANN401 - as above
        with self._making_client:
            session = self._session or new_session(self._profile)
            self._session = session
            return session.create_client(
                "sts",
                region_name=self._region or session.get_config_variable("region") or FALLBACK_REGION,
                aws_access_key_id=credentials.access_key_id,
                aws_secret_access_key=credentials.secret_access_key,
                aws_session_token=credentials.session_token,
            )


def new_session(profile: str | None) -> botocore.session.Session:
    """Return a Session with our time-outs.

    Raises:
        botocore.exceptions.ProfileNotFound: there is no such profile (raised when it is first used).
    """
    session = botocore.session.Session(profile=profile)
    session.set_default_client_config(CLIENT_CONFIG)
    return session


def profile_region(profile: str | None) -> str | None:
    """Return the region that ``profile`` (or the environment) names; blocks for files only."""
    region: str | None = botocore.session.Session(profile=profile).get_config_variable("region")
    return region


def refuse_metadata_sources(session: botocore.session.Session, profile: str | None) -> None:
    """Follow ``source_profile`` and refuse a chain that ends in a metadata service.

    Raises:
        CredentialsError: it does.
    """
    profiles = session.full_config.get("profiles", {})
    name = profile or session.get_config_variable("profile") or "default"
    seen: set[str] = set()
    while name in profiles and name not in seen:
        seen.add(name)
        source = profiles[name].get("credential_source")
        if source is not None and source != "Environment":
            raise CredentialsError(
                "InvalidConfig",
                f"profile {name} says credential_source = {source}, which would ask this very daemon: "
                "name a source_profile instead",
                action=Action.CONFIG,
            )
        name = profiles[name].get("source_profile", "")


def _bound(resolver: Any) -> None:  # noqa: ANN401 - botocore's resolver has no public type
    """Take the metadata services out of the chain, and out of the rest whatever could block for ever."""
    for method in ("iam-role", "container-role", "ec2-credentials-file", "boto-config"):
        resolver.remove(method)
    assume_role = resolver.get_provider("assume-role")
    assume_role._prompter = _no_prompt  # noqa: SLF001 - the default one reads our terminal
    resolver.get_provider("custom-process")._popen = BoundedProcess  # noqa: SLF001 - there is no public way in
    builder = assume_role._profile_provider_builder  # noqa: SLF001 - likewise, for source profiles
    builder._create_process_provider = lambda name: ProcessProvider(  # noqa: SLF001 - likewise
        profile_name=name,
        load_config=lambda: builder._session.full_config,  # noqa: SLF001 - likewise
        popen=BoundedProcess,
    )


def _no_prompt(_text: str) -> str:
    raise CredentialsError("MFARequired", "the profile's role asks for an MFA code", action=Action.REAUTHENTICATE)


class BoundedProcess(subprocess.Popen[bytes]):
    """A ``credential_process``: no standard input, a time limit, an output limit, and its complaints unread.

    What it prints on standard error may hold a secret, so it goes nowhere.
    """

    def __init__(self, arguments: list[str], **_keywords: Any) -> None:  # noqa: ANN401 - Popen's own
        super().__init__(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def communicate(self, input: bytes | None = None, timeout: float | None = None) -> tuple[bytes, bytes]:  # noqa: A002, ARG002 - Popen's signature
        """Return what it printed, within the limits.

        Raises:
            subprocess.TimeoutExpired: it did not end in time; it and its children have been killed.
            CredentialsError: it printed more than credentials need; likewise.
        """
        deadline = time.monotonic() + PROCESS_TIMEOUT
        printed = b""
        with self:  # closes the pipe and waits for the end
            try:
                while len(printed) <= PROCESS_OUTPUT and (more := self._read(deadline)):
                    printed += more
                if len(printed) > PROCESS_OUTPUT:
                    raise _misprinted(f"over {PROCESS_OUTPUT} bytes")  # noqa: TRY301 - killed like the rest
                self.wait(max(0.0, deadline - time.monotonic()))
            except BaseException:
                self._kill_all()
                raise
        with contextlib.suppress(ValueError):  # botocore itself says what is not JSON at all
            if not isinstance(json.loads(printed), dict):
                raise _misprinted("JSON that is not an object")
        return printed, b""

    def _read(self, deadline: float) -> bytes:
        """Return some of its output, nothing at the end of it, which a program that it leaves behind may hold back."""
        if self.stdout is None:
            return b""
        ready = select.poll()
        ready.register(self.stdout, select.POLLIN)
        if not ready.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise subprocess.TimeoutExpired("credential_process", PROCESS_TIMEOUT)
        return os.read(self.stdout.fileno(), PROCESS_OUTPUT)

    def _kill_all(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def _misprinted(what: str) -> CredentialsError:
    return CredentialsError("CredentialProcess", f"credential_process printed {what}", action=Action.CONFIG)
