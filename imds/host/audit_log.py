"""The audit log's file: append-only, 0600, written by a thread of its own, and made anew when it is rotated."""

from __future__ import annotations

import errno
import logging
import os
import queue
import stat
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from imds.core import audit
from imds.core.errors import ConfigError, Problem

if TYPE_CHECKING:
    from pathlib import Path

    from imds.core.audit import Entry
    from imds.core.callers import Caller

logger = logging.getLogger(__name__)

MOST_WAITING = 100_000
"""Lines that wait for a slow disk; more are counted and lost."""

MOST_AT_ONCE = 1024
GATHER = 0.02
"""Seconds for which lines are gathered: a thread that wakes for each would take time from the one that answers."""

LONGEST_CLOSE = 5.0
"""Seconds that a disk which hangs may keep us from stopping."""

SYNC_EVERY = 1.0
"""Seconds between two syncs, with ``second``."""

TELL_EVERY = 60.0


class _Line(NamedTuple):
    """What is to be written; ``synced`` is told once it is on the disk."""

    entry: Entry
    caller: Caller
    synced: Future[None] | None = None


class AuditLog:
    """Takes records at once and writes them in order; ``failure`` is why the last could not be, None where it was.

    Args:
        path: the file.
        fsync: ``line`` syncs each line to the disk, ``second`` once a second, ``never`` leaves it to the system.

    Raises:
        ConfigError: the file cannot be used.
    """

    def __init__(self, path: Path, *, fsync: str = "never") -> None:
        self.path = path
        self._fsync = fsync
        self._waiting: queue.Queue[_Line | None] = queue.Queue(MOST_WAITING)
        self._written = self._dropped = self._failed = self._accounted = 0
        self.failure: str | None = None
        self._told = -TELL_EVERY
        self._synced = 0.0
        self._descriptor = self._open()
        self.previous = self._last_digest()
        self._thread = threading.Thread(target=self._write_all, name="audit", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """How many lines found no room and are not accounted for in the file yet."""
        return self._dropped + self._failed - self._accounted

    def put(self, record: Entry, caller: Caller) -> None:
        """Write a line soon; never waits."""
        try:
            self._waiting.put_nowait(_Line(record, caller))
        except queue.Full:
            self._dropped += 1

    def put_synced(self, record: Entry, caller: Caller) -> Future[None]:
        """Write a line soon; what is returned ends once it is on the disk, or with an ``OSError``."""
        synced: Future[None] = Future()
        try:
            self._waiting.put_nowait(_Line(record, caller, synced))
        except queue.Full:
            self._dropped += 1
            synced.set_exception(OSError(errno.ENOBUFS, "too many lines wait for the disk"))
        return synced

    @property
    def lines(self) -> dict[str, int]:
        """How many lines were written, how many a full disk or its like took, and for how many there was no room."""
        return {"written": self._written, "write_failed": self._failed, "queue_full": self._dropped}

    @property
    def lives(self) -> bool:
        """Whether lines are still written."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Write what is left and close the file."""
        with suppress(queue.Full):
            self._waiting.put(None, timeout=LONGEST_CLOSE)
        self._thread.join(LONGEST_CLOSE)
        if not self._thread.is_alive():
            os.close(self._descriptor)

    def _write_all(self) -> None:
        going = True
        while going:
            batch = [self._waiting.get()]
            if batch[0] is not None and self._fsync != "line":
                time.sleep(GATHER)
            while len(batch) < MOST_AT_ONCE:
                try:
                    batch.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            going = None not in batch
            records = [line for line in batch if line is not None]
            promised = [line.synced for line in records if line.synced and line.synced.set_running_or_notify_cancel()]
            lost = self.lost
            try:
                self._write(records, lost)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next line says that some are missing
                self._failed += len(records)
                self.failure = (error.strerror if isinstance(error, OSError) else None) or str(error)
                self._complain(error)
                for synced in promised:
                    synced.set_exception(OSError(self.failure))
            else:
                self._keep_promises(promised)
                self._accounted += lost if records else 0
                self.failure = None if records else self.failure

    def _keep_promises(self, promised: list[Future[None]]) -> None:
        """Have what is written on the disk, where somebody waits for that."""
        try:
            if promised:
                os.fsync(self._descriptor)
        except OSError as error:
            for synced in promised:
                synced.set_exception(error)
        else:
            for synced in promised:
                synced.set_result(None)

    def _write(self, batch: list[_Line], lost: int) -> None:
        self._follow_rotation()
        written, last = b"", self.previous
        for record, caller, _ in batch:
            fields = record.to_json(caller)
            if lost and not written:
                fields["lost_before"] = lost
            line = audit.line(fields, last)
            last = audit.digest(line)
            written += line
        if not written:
            return
        self._append(written)
        self._written += len(batch)
        self.previous = last
        if self._fsync == "line" or (self._fsync == "second" and time.monotonic() - self._synced >= SYNC_EVERY):
            os.fsync(self._descriptor)
            self._synced = time.monotonic()

    def _append(self, written: bytes) -> None:
        """Write all or nothing: half a line would spoil the next one."""
        size = os.fstat(self._descriptor).st_size
        try:
            if os.write(self._descriptor, written) != len(written):
                raise OSError(errno.ENOSPC, "the disk is full")  # noqa: TRY301 - undone like the rest
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise

    def _follow_rotation(self) -> None:
        """Open the file again where another, or none, has its name; the chain of digests goes on."""
        try:
            now = self.path.stat()
            ours = os.fstat(self._descriptor)
            if (now.st_dev, now.st_ino) == (ours.st_dev, ours.st_ino):
                return
        except FileNotFoundError:
            pass
        opened = self._open()
        os.close(self._descriptor)
        self._descriptor = opened

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            os.close(descriptor)
            raise self._unusable("it must be a plain file of the daemon's user that nobody else may use (chmod 600)")
        return descriptor

    def _unusable(self, why: str) -> ConfigError:
        return ConfigError([Problem(file=str(self.path), line=0, key="audit_log", message=f"cannot be used: {why}")])

    def _last_digest(self) -> str:
        """Return the digest of the file's last line, which the next one holds."""
        size = os.fstat(self._descriptor).st_size
        tail = os.pread(self._descriptor, audit.LONGEST_LINE, max(0, size - audit.LONGEST_LINE))
        last = tail.rstrip(b"\n").rpartition(b"\n")[2]
        if tail and not tail.endswith(b"\n"):
            with suppress(OSError):  # a full disk; the daemon serves nevertheless
                os.write(self._descriptor, b"\n")  # a crash cut it short; what follows is a line of its own
        return audit.digest(last) if last else audit.BEGINNING

    def _complain(self, error: Exception) -> None:
        if time.monotonic() - self._told >= TELL_EVERY:
            self._told = time.monotonic()
            logger.error("the audit log cannot be written: %s", error)
