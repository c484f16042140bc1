"""Listening sockets: made, found taken, or handed over; and the limit on open files that they count against."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import grp
import os
import socket
import stat
import struct
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from imds.core.errors import AddressTakenError
from imds.host.occupants import occupants

BACKLOG = 1024
"""aiohttp's default of 128 makes the last of 500 clients that start at once wait for more than botocore's second."""

WANTED_FILES = 65536
GIVEN_UP_AFTER = 5000
"""Milliseconds."""

_IP_FREEBIND = 15
_SO_ATTACH_FILTER = 26
_SO_NETNS_COOKIE = 71
_NOTHING = struct.pack("=HBBI", 0x06, 0, 0, 0)
"""A classic BPF program, ``ret 0``: let nothing pass."""


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """As clients write it, with the slash that old versions of the AWS CLI need."""
        return f"http://[{self.host}]:{self.port}/" if ":" in self.host else f"http://{self.host}:{self.port}/"


def listen(address: Address, *, setting: str = "--listen") -> socket.socket:
    """Return a socket that listens on ``address``, which need not exist yet on this host (IP_FREEBIND).

    Args:
        address: where.
        setting: what names another place, for errors.

    Raises:
        AddressTakenError: another program has it, or this user may not have the port.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        with suppress(OSError):  # Linux only
            listener.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        listener.bind((address.host, address.port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise AddressTakenError(_why_not(address, error, setting)) from error
    return listener


def stop_arrivals(listener: socket.socket) -> None:
    """Let nobody else begin to connect, so that all who have can be accepted before the socket is closed.

    Closing resets whoever arrived after the last accept. Linux only; elsewhere that moment remains.
    """
    program = ctypes.create_string_buffer(_NOTHING, len(_NOTHING))
    with suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(program)))


def address_is_here(host: str) -> bool:
    """Whether this host has the address now.

    Binding to it is the quickest question, and its no is sure. Its yes is not where ``ip_nonlocal_bind`` allows binding
    to addresses of others, as load balancers have it: there the kernel's tables say.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    one = ip_address(host.partition("%")[0])
    if not one.is_unspecified and _binds_to_others(one.version):
        from imds.host.interfaces import has_address  # noqa: PLC0415 - Linux only, and rarely wanted

        return has_address(host)
    return True


def _binds_to_others(version: int) -> bool:
    """Whether this network namespace lets everybody bind to addresses that it does not have."""
    with suppress(OSError):
        return Path(f"/proc/sys/net/ipv{version}/ip_nonlocal_bind").read_bytes().strip() != b"0"
    return False


def address_of(listener: socket.socket) -> Address:
    """Return where a socket listens."""
    host, port = listener.getsockname()[:2]
    return Address(host, port)


def place_of(listener: socket.socket) -> str:
    """Return where a socket listens, for people: a URL or a path."""
    return str(listener.getsockname()) if listener.family == socket.AF_UNIX else address_of(listener).url


def network_namespace(of: socket.socket | None = None) -> int | None:
    """Return the number of a socket's network namespace, by default of this process's; None before Linux 5.14."""
    if of is None:
        with socket.socket() as own:
            return network_namespace(own)
    try:
        return int.from_bytes(of.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), "little")
    except OSError:
        return None


def is_a_hop_away(listener: socket.socket) -> bool:
    """Whether clients of this host reach a socket by way of a router: it was made in another network namespace.

    What is sent there and dies on the way, its hops being limited, is given up after seconds and not after minutes.
    """
    if (there := network_namespace(listener)) is None or there == network_namespace():
        return False
    with suppress(OSError):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GIVEN_UP_AFTER)
    return True


def listen_control(path: Path, group: str | None = None) -> socket.socket:
    """Return the control socket, which the members of ``group`` may use too; see ``listen_private``.

    Raises:
        AddressTakenError: as there, or this user may not give files to the group.
    """
    listener = listen_private(path, f"control socket {path}", "control_socket or IMDS_CONTROL_SOCKET")
    if group is None:
        return listener
    try:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
        path.chmod(0o660)
    except (KeyError, OSError) as error:
        listener.close()
        path.unlink(missing_ok=True)
        why = error.strerror if isinstance(error, OSError) else "there is none"
        raise AddressTakenError(
            f"control socket {path} cannot be given to group {group} ({why}): the daemon's user must be a member of it"
        ) from error
    return listener


def listen_private(path: Path, what: str, setting: str) -> socket.socket:
    """Return a unix socket that only this user can reach; a dead one in its place is removed.

    Args:
        path: where.
        what: it is, for errors.
        setting: what names another place, for errors.

    Raises:
        AddressTakenError: a daemon answers there already, or the place cannot be used.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.parent.stat().st_mode & 0o022 and not path.parent.stat().st_mode & stat.S_ISVTX:
            raise AddressTakenError(f"{what}: others may write to {path.parent}: chmod go-w it")
        with _locked(path):
            if not _remove_dead(path):
                raise AddressTakenError(
                    f"{what}: another imds is running there: see `imds status`, or name another with {setting}"
                )
            return _bind_private(path)
    except OSError as error:
        raise AddressTakenError(f"{what}: {error.strerror or error}") from error


def raise_file_limit() -> int:
    """Let this process open as many files as it may; return how many that is."""
    import resource  # noqa: PLC0415 - not on every platform

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = WANTED_FILES if hard == unlimited else min(WANTED_FILES, hard)
    if soft != unlimited and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return WANTED_FILES if soft == unlimited else soft


class _locked:  # noqa: N801 - used as a function
    """Lets one daemon at a time look at the socket's place."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}.lock")

    def __enter__(self) -> None:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _remove_dead(path: Path) -> bool:
    """Remove a socket that nobody listens on; return whether the place is free."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            return True
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return True
    return False


def _bind_private(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def _why_not(address: Address, error: OSError, setting: str) -> str:
    where = address.url
    if error.errno == errno.EADDRINUSE:
        holder = next(iter(occupants(address.host, address.port)), None)
        return f"{where} is taken{f' by {holder}' if holder else ''}: stop it, or listen elsewhere ({setting})"
    if error.errno == errno.EACCES:
        return (
            f"{where}: this user may not listen on port {address.port}: use a port above 1023, "
            "`sudo imds address up`, which leads port 80 there, systemd socket activation, "
            "or `sudo sysctl net.ipv4.ip_unprivileged_port_start=80`"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where}: this host has no address {address.host}"
    return f"{where}: {error.strerror or error}"
