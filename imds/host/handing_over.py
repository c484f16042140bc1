"""Makes listening sockets where only root may, and hands them to a program of an ordinary user, as systemd does.

They may be in another network namespace: the program stays in its own, and reaches AWS from there.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from imds.host import listeners

if TYPE_CHECKING:
    import pwd
    import socket
    from collections.abc import Iterable, Mapping, Sequence

    from imds.host.listeners import Address

_CLONE_NEWNET = 0x40000000
_FIRST_FD = 3
_OUT_OF_THE_WAY = 64
_OF_SUDO = ("SUDO_COMMAND", "SUDO_USER", "SUDO_UID", "SUDO_GID", "MAIL")


def listen_in(namespace: Path | None, addresses: Iterable[Address]) -> list[socket.socket]:
    """Return sockets that listen in a network namespace, None being ours.

    Raises:
        AddressTakenError: an address is somebody else's.
        OSError: the namespace cannot be entered.
    """
    wanted = list(addresses)
    if namespace is None:
        return [listeners.listen(address) for address in wanted]
    with ThreadPoolExecutor(max_workers=1) as elsewhere:  # a thread of its own, which never comes back
        return elsewhere.submit(_listen_inside, namespace, wanted).result()


def _listen_inside(namespace: Path, wanted: Sequence[Address]) -> list[socket.socket]:
    with namespace.open("rb") as entrance:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(entrance.fileno(), _CLONE_NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(namespace))
    return [listeners.listen(address) for address in wanted]


def run_with(
    sockets: Sequence[socket.socket], words: Sequence[str], user: pwd.struct_passwd, environment: Mapping[str, str]
) -> NoReturn:
    """Become a program of ``user`` that finds ``sockets`` as systemd hands them over (sd_listen_fds).

    Raises:
        OSError: there is no such program, or it may not be run.
    """
    moved = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY) for one in sockets]
    for number, descriptor in enumerate(moved, start=_FIRST_FD):
        os.dup2(descriptor, number, inheritable=True)
    variables = _environment_of(user, environment) | {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets))}
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.execvpe(words[0], list(words), variables)  # noqa: S606 - the program that the user names


def _environment_of(user: pwd.struct_passwd, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment as the user's own would be: ``sudo`` has put root's home into it."""
    variables = {name: value for name, value in environment.items() if name not in _OF_SUDO}
    variables |= {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
    runtime = Path("/run/user", str(user.pw_uid))
    with suppress(OSError):
        given = variables.get("XDG_RUNTIME_DIR")
        if given is None or Path(given).stat().st_uid != user.pw_uid:
            variables.pop("XDG_RUNTIME_DIR", None)
            if runtime.stat().st_uid == user.pw_uid:
                variables["XDG_RUNTIME_DIR"] = str(runtime)
    return variables
