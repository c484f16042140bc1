"""The kernel's user keyring (``@u``): in memory only, one key for each role, which ends with its session.

Survives the daemon and its service, not a reboot. Every process of the same user can read it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from array import array
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING

from imds.core.errors import PlaceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imds.host.session_places import Entry

_CALLS = {"x86_64": (248, 250), **dict.fromkeys(("aarch64", "riscv64", "loongarch64"), (217, 219))}
"""Numbers of add_key(2) and keyctl(2): the C library has no functions for them."""

_THREAD, _USER = -1, -4
_DESCRIBE, _LINK, _UNLINK, _READ, _SET_TIMEOUT = 6, 8, 9, 11, 15
_OF_OTHERS = 0xFFFF
"""What a key's mode allows its group and everybody."""

_GONE = frozenset({errno.ENOKEY, errno.EKEYEXPIRED, errno.EKEYREVOKED})
_WHY = {
    errno.ENOSYS: "this kernel has none",
    errno.EPERM: "it is not allowed here",
    errno.EACCES: "it is not allowed here",
    errno.EDQUOT: "it is full: /proc/sys/kernel/keys/maxbytes says how much a user may keep",
    errno.EINVAL: "a session is too large for it",
}


class KernelKeyring:
    """Keys of type ``user``, named after their role."""

    def __init__(self, scope: str) -> None:
        self._prefix = f"imds:{scope}:"
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        self._syscall.restype = ctypes.c_long
        numbers = _CALLS.get(platform.machine())
        if numbers is None or platform.system() != "Linux":
            raise PlaceError("there is no kernel keyring on this machine")
        self._add_key, self._keyctl = numbers

    def read(self) -> list[bytes]:
        """Return what the keys hold; one that another user made, or may read, is refused."""
        self._possess()
        texts = []
        for name, key, uid, mode in self._keys():
            if uid != os.getuid() or mode & _OF_OTHERS:
                raise PlaceError(f"key {name} belongs to uid {uid}, mode {mode:08x}: others may use it, so remove it")
            with suppress(_GoneError):
                texts.append(self._take(_READ, key))
        return texts

    def write(self, entries: Mapping[str, Entry]) -> None:
        """Add, replace and remove keys, each by itself: a role has its old session or its new one."""
        self._possess()
        wanted = {self._prefix + role: entry for role, entry in entries.items()}
        for name, key, _, _ in list(self._keys()):
            if name not in wanted:
                with suppress(_GoneError):
                    self._call(self._keyctl, _UNLINK, key, _USER)
        for name, entry in wanted.items():
            added = self._call(self._add_key, b"user", name.encode(), entry.text, len(entry.text), _USER)
            self._call(self._keyctl, _SET_TIMEOUT, added, max(1, ceil(entry.lives)))

    def clear(self) -> None:
        """Remove every key."""
        self.write({})

    def _possess(self) -> None:
        """Link the keyring to one of this thread's own: a service's session keyring does not lead to it."""
        try:
            self._call(self._keyctl, _LINK, _USER, _THREAD)
        except _GoneError as error:
            raise PlaceError("the kernel keyring of this user has been revoked") from error

    def _keys(self) -> Iterator[tuple[str, int, int, int]]:
        """Yield name, serial number, owner and mode of the keys that are ours."""
        serials = array("i")
        serials.frombytes(self._take(_READ, _USER))
        for serial in serials:
            with suppress(_GoneError, PlaceError, ValueError):  # a key of somebody else's, and none of our business
                described = self._take(_DESCRIBE, serial).rstrip(b"\0").decode(errors="replace")
                kind, uid, _, mode, name = described.split(";", 4)
                if kind == "user" and name.startswith(self._prefix):
                    yield name, serial, int(uid), int(mode, 16)

    def _take(self, what: int, key: int) -> bytes:
        size = self._call(self._keyctl, what, key, None, 0)
        while True:
            buffer = ctypes.create_string_buffer(size)
            needed = self._call(self._keyctl, what, key, buffer, size)
            if needed <= size:
                return buffer.raw[:needed]
            size = needed

    def _call(self, *arguments: object) -> int:
        """Make a system call.

        Raises:
            _GoneError: the key has ended or been removed meanwhile.
            PlaceError: the kernel refuses.
        """
        passed = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
        result = int(self._syscall(*passed))
        if result >= 0:
            return result
        number = ctypes.get_errno()
        if number in _GONE:
            raise _GoneError
        raise PlaceError(f"the kernel keyring: {_WHY.get(number, os.strerror(number))}")


class _GoneError(Exception):
    """The key is no more."""
