"""Has identity documents signed, by a program that runs for a moment; the answers are kept."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imds
from imds.core.errors import ConfigError
from imds.core.paths import IDENTITY_DOCUMENT, IDENTITY_SIGNATURES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.daemon.kept import Kept

logger = logging.getLogger(__name__)

MOST_KEPT = 4096
TIMEOUT = 30.0
"""Seconds for the program, which needs less than one."""


class Signing:
    """Signs with one key for the whole daemon.

    Attributes:
        changes: grows whenever a document may have other signatures than before; who keeps what is made of them
            asks again then.
        settled: whether every document has its signatures, or cannot have any.
    """

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._signatures: dict[str, Mapping[str, str]] = {}
        self._wanted: dict[str, None] = {}
        self._failed: set[str] = set()
        self._news = asyncio.Event()
        self.settled = asyncio.Event()
        self.settled.set()
        self._signing = asyncio.Lock()
        self._certificate: str | None = None
        self._key: str | None = None
        self.changes = 0

    def signatures(self, document: str) -> Mapping[str, str]:
        """Return the paths of a document's signatures and their texts; none at first, until they are made."""
        if document not in self._signatures and document not in self._failed:
            self._wanted[document] = None
            self.settled.clear()
            self._news.set()
        return self._signatures.get(document, {})

    def try_again(self) -> None:
        """Sign what could not be signed, once it is asked for again."""
        self._failed.clear()
        self.changes += 1

    async def run(self) -> None:
        """Sign what is asked for."""
        while True:
            await self._news.wait()
            self._news.clear()
            wanted, self._wanted = list(self._wanted), {}
            changes = self.changes
            try:
                self._take_in(wanted, await self._sign(wanted))
            except (ConfigError, OSError, ValueError, LookupError, TimeoutError) as error:
                logger.warning("identity documents cannot be signed, and have no signatures: %s", error)
                if changes == self.changes:  # else somebody has mended it meanwhile, and asks again
                    self._failed.update(wanted)
            if not self._wanted:
                self.settled.set()

    def _take_in(self, documents: list[str], answer: dict[str, Any]) -> None:
        """Keep the signatures of documents."""
        directory = IDENTITY_DOCUMENT.rpartition("/")[0]
        for document, signed in zip(documents, answer["signatures"], strict=True):
            self._signatures[document] = {f"{directory}/{name}": signed[name] for name in IDENTITY_SIGNATURES}
        for oldest in list(self._signatures)[:-MOST_KEPT]:
            del self._signatures[oldest]
        self.changes += 1

    async def certificate(self) -> str:
        """Return the certificate against which the signatures can be verified, PEM.

        Raises:
            OSError, ValueError, LookupError, TimeoutError: there is none, and none can be made.
        """
        if self._certificate is None:
            await self._sign([])
        return str(self._certificate)

    async def _sign(self, documents: list[str]) -> dict[str, Any]:
        async with self._signing:
            if self._key is None:
                kept = await asyncio.to_thread(self._kept.identity)
                self._key, self._certificate = kept.get("key"), kept.get("certificate")
            request = {"key": self._key, "certificate": self._certificate, "documents": documents}
            answer = await _run(request)
            if answer["key"] != self._key:
                self._key, self._certificate = answer["key"], answer["certificate"]
                try:
                    identity = {"key": answer["key"], "certificate": answer["certificate"]}
                    await asyncio.to_thread(self._kept.keep_identity, identity)
                except ConfigError as error:
                    logger.warning("the key of identity documents is another after a restart: %s", error)
            return answer


async def _run(request: dict[str, Any]) -> dict[str, Any]:
    """Run the program; what is secret goes through pipes only."""
    # -P keeps the folder that we were started in out of it; our own package may be nowhere else
    paths = (str(Path(imds.__file__).parents[1]), os.environ.get("PYTHONPATH"))
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "imds.metadata.signatures"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)},
    )
    try:
        async with asyncio.timeout(TIMEOUT):
            output, errors = await program.communicate(json.dumps(request).encode())
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            program.kill()
        await program.wait()
        raise
    if program.returncode:
        last = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise ValueError(last or f"the program that signs ended with {program.returncode}")
    answer: dict[str, Any] = json.loads(output)
    return answer
