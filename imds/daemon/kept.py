"""What a daemon keeps on disk across restarts, in its state directory; without one, nothing."""

from __future__ import annotations

import asyncio
import logging
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from imds.config.schema import NO_AUDIT
from imds.core.container_tokens import ContainerToken
from imds.core.leases import activation_of, told_activation
from imds.core.tokens import KEY_BYTES
from imds.host import places, private_files
from imds.host.audit_log import AuditLog

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from imds.config.schema import Config
    from imds.core.leases import Lease

logger = logging.getLogger(__name__)

TOKEN_KEY_FILE = "token.key"  # noqa: S105 - a file's name
CONTAINER_TOKENS_FILE = "container-tokens.json"
IDENTITY_FILE = "identity.json"
ACTIVATIONS_FILE = "activations.json"


class Kept:
    """The state directory.

    Args:
        directory: None keeps nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokens")  # so that the order stays

    def token_key(self) -> bytes:
        """Return the key of session tokens, which outlive a restart with it.

        Raises:
            ConfigError: the file cannot be used.
        """
        if self._directory is None:
            return secrets.token_bytes(KEY_BYTES)
        return private_files.key(self._directory / TOKEN_KEY_FILE, KEY_BYTES)

    def container_tokens(self) -> list[ContainerToken]:
        """Return the container tokens of before.

        Raises:
            ConfigError: the file cannot be used.
        """
        if self._directory is None:
            return []
        kept = private_files.read_json(self._directory / CONTAINER_TOKENS_FILE)
        try:
            return [ContainerToken.from_json(token) for token in kept["tokens"]] if kept else []
        except (KeyError, TypeError, ValueError):
            logger.warning("the kept container tokens are damaged and are ignored")
            return []

    async def keep_container_tokens(self, live: Iterable[ContainerToken]) -> None:
        """Write the container tokens' digests, so that a restart does not end them.

        A disk takes its time, and clients shall not wait for it; what was given first is written first.

        Raises:
            ConfigError: the directory cannot be written.
        """
        if self._directory is not None:
            tokens = [token.to_json() for token in live]
            path, value = self._directory / CONTAINER_TOKENS_FILE, {"version": 1, "tokens": tokens}
            await asyncio.get_running_loop().run_in_executor(self._writer, private_files.write_json, path, value)

    def identity(self) -> dict[str, str]:
        """Return key and certificate for identity documents (PEM), empty where none were made yet.

        Raises:
            ConfigError: the file cannot be used.
        """
        kept = private_files.read_json(self._directory / IDENTITY_FILE) if self._directory is not None else None
        return kept if isinstance(kept, dict) else {}

    def keep_identity(self, identity: dict[str, str]) -> None:
        """Write key and certificate, so that signatures can be verified after a restart as before.

        Raises:
            ConfigError: the directory cannot be written.
        """
        if self._directory is not None:
            private_files.write_json(self._directory / IDENTITY_FILE, {"version": 1, **identity})

    def activations(self) -> list[Lease]:
        """Return the activations that an earlier daemon could not end.

        Raises:
            ConfigError: the file cannot be used.
        """
        if self._directory is None:
            return []
        kept = private_files.read_json(self._directory / ACTIVATIONS_FILE)
        try:
            return [activation_of(one) for one in kept["activations"]] if kept else []
        except (KeyError, TypeError, ValueError):
            logger.warning("what is kept of activations is damaged and is ignored")
            return []

    def keep_activations(self, live: Iterable[Lease]) -> None:
        """Write who has which break-glass role; no secret is among it.

        Raises:
            ConfigError: the directory cannot be written.
        """
        if self._directory is not None:
            activations = [told_activation(one) for one in live]
            private_files.write_json(self._directory / ACTIVATIONS_FILE, {"version": 1, "activations": activations})

    def audit_log(self, config: Config) -> AuditLog | None:
        """Open the audit log, unless there is to be none, or nowhere to keep it.

        Raises:
            ConfigError: the file cannot be used.
        """
        path = config.audit_log
        if path is None and self._directory is not None:
            path = self._directory / places.AUDIT_LOG
        return None if path in (None, NO_AUDIT) else AuditLog(path, fsync=config.audit_fsync)
