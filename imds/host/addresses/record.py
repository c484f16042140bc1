"""The record of what we have put into this host's network: a file of root's, written before each step.

It is in a folder of its own below ``/run``, since ``/run/imds`` is the service's, which may write there and whose end
removes it. It is gone after a boot, as is what it tells of. Each network namespace has its own.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imds.core.addresses import PORT
from imds.host.addresses import AddressesError, Topology
from imds.host.addresses.tables import target_for
from imds.host.addresses.things import from_json, to_json
from imds.host.listeners import network_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

from imds.host.addresses.things import Thing

FOLDER = Path("/run/imds.address")


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """One thing that is about to be put there, or is there.

    Attributes:
        identity: the kernel's number of it once it is there, by which it is told from another of its name; None before.
    """

    thing: Thing
    identity: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What ``up`` has done.

    Attributes:
        topology: None before the first time.
        addresses: those asked for.
        target: where ``redirect`` leads, as HOST:PORT.
        put: in the order in which it was put there.
    """

    topology: Topology | None = None
    addresses: tuple[str, ...] = ()
    target: str = ""
    put: tuple[Put, ...] = ()

    def without(self, thing: Thing) -> Record:
        """Return the record once a thing is gone."""
        return replace(self, put=tuple(one for one in self.put if one.thing != thing))

    def having(self, thing: Thing, identity: int | None = None) -> Record:
        """Return the record of a thing that is about to be there (None), or is."""
        return replace(self, put=(*self.without(thing).put, Put(thing=thing, identity=identity)))


def path() -> Path:
    """Return the file of this network namespace."""
    return FOLDER / f"{_namespace()}.json"


def load() -> Record:
    """Return what is on record, an empty one where nothing is.

    Raises:
        AddressesError: it cannot be read, or was not written by root.
    """
    file = path()
    try:
        with file.open("rb") as opened:
            status = os.fstat(opened.fileno())
            if status.st_uid != 0 or status.st_mode & 0o022:
                raise AddressesError(
                    f"{file} may have been written by somebody else than root: look at it, and remove it"
                )
            told = json.loads(opened.read())
        return Record(
            topology=Topology(told["topology"]),
            addresses=tuple(map(str, told["addresses"])),
            target=str(told["target"]),
            put=tuple(Put(thing=from_json(one["thing"]), identity=one["identity"]) for one in told["put"]),
        )
    except FileNotFoundError:
        return Record()
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise AddressesError(f"{file} cannot be read ({error}): see `imds address status`, and remove it") from error


def led_to(host: str, port: int) -> tuple[str, int]:
    """Return where connections to an address and a port really go, as far as that is our doing."""
    with suppress(AddressesError, OSError):
        kept = load()
        if kept.topology is Topology.REDIRECT and host in kept.addresses and port == PORT:
            return target_for(host, kept.target)
    return host, port


def save(record: Record) -> None:
    """Keep it, whole or not at all; one of nothing is removed.

    Raises:
        AddressesError: it cannot be written.
    """
    file = path()
    told = {
        "topology": record.topology.value if record.topology is not None else None,
        "addresses": record.addresses,
        "target": record.target,
        "put": [{"thing": to_json(one.thing), "identity": one.identity} for one in record.put],
    }
    try:
        if not record.put:
            file.unlink(missing_ok=True)
            return
        draft = file.with_suffix(".new")
        draft.write_text(json.dumps(told, indent=1) + "\n")
        draft.chmod(0o644)
        draft.replace(file)
    except OSError as error:
        raise AddressesError(f"{file} cannot be written: {error.strerror or error}") from error


@contextmanager
def locked() -> Iterator[None]:
    """Let one command at a time change the network.

    Raises:
        AddressesError: the record's folder cannot be had.
    """
    try:
        descriptor = _lock()
    except OSError as error:
        raise AddressesError(f"{FOLDER} cannot be used: {error.strerror or error}") from error
    try:
        yield
    finally:
        with suppress(OSError):  # another namespace's record is there
            FOLDER.rmdir()
        os.close(descriptor)


def _lock() -> int:
    while True:
        with suppress(FileExistsError):
            FOLDER.mkdir(mode=0o755)
            FOLDER.chmod(0o755)  # whatever the umask: anybody may ask how things are
        descriptor = os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        status = os.fstat(descriptor)
        if status.st_uid != 0 or status.st_mode & 0o022:
            os.close(descriptor)
            raise PermissionError(1, "it does not belong to root alone")
        with suppress(FileNotFoundError):
            if FOLDER.stat().st_ino == status.st_ino:  # else the one who had it before us has removed it
                return descriptor
        os.close(descriptor)


def _namespace() -> str:
    """Return a number that no other network namespace has (before Linux 5.14: at the same time)."""
    if (number := network_namespace()) is not None:
        return str(number)
    return f"inode-{os.stat('/proc/self/ns/net').st_ino}"  # noqa: PTH116 - of what the link names
