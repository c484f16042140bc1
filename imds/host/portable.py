"""What psutil tells of connections and processes, where the system is not Linux; slower, and worth less.

A system that does not say who made a socket is asked who holds it. So somebody who hands a connection to another user's
process, and keeps none, is taken for that user. Who may read no process but their own sees no others, and these stay
unknown.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from imds.core.callers import Process, Program
from imds.core.program_names import is_interpreter
from imds.host.finding import LONGEST_LOOK, Connection, Found
from imds.host.listeners import address_is_here
from imds.host.processes import MOST_ANCESTORS, script_name
from imds.host.sock_diag import address

if TYPE_CHECKING:
    from imds.host.finding import EndPoint

logger = logging.getLogger(__name__)

Running = Any
"""A ``psutil.Process``, which knows when it began: its number given to another is noticed."""


class Portable:
    """Finds who has a socket."""

    def __init__(self) -> None:
        try:
            import psutil  # noqa: PLC0415 - not on every platform
        except ImportError:
            psutil = None
            logger.warning("without psutil nobody tells who is calling: every caller is unknown and will be refused")
        self._psutil: Any = psutil

    def close(self) -> None:
        """Nothing is held."""

    def owner(self, client: EndPoint, server: EndPoint) -> Connection | None:
        """Return what a connection is looked up by, None where it comes from elsewhere."""
        ends = Connection(_plain(*client), _plain(*server))
        here = ends.client[0] == ends.server[0] or address_is_here(ends.client[0])
        return ends if here and self._psutil is not None else None

    def find(self, uid: int | None, connections: frozenset[Connection]) -> dict[Connection, Found]:  # noqa: ARG002
        """Return the processes that hold connections, the oldest of each; blocking, for threads.

        All must be of one user. Where the search takes too long an older one may not have been seen: none is found.
        """
        holders: dict[Connection, list[Running]] = {}
        until = time.monotonic() + LONGEST_LOOK
        for process in self._psutil.process_iter():
            if time.monotonic() > until:
                return {}
            for connection in connections & self._connections_of(process):
                holders.setdefault(connection, []).append(process)
        described = {process: self._described_holder(process) for process in map(_oldest, holders.values())}
        found = {}
        for connection, running in holders.items():
            process, held = described[_oldest(running)]
            owner = self._uid_of(running)
            if owner is not None and connection in held:
                found[connection] = Found(uid=owner, process=process, cgroup=None)
        return found

    glance = find

    def of_processes(self, key: None, pids: frozenset[int]) -> dict[int, Found]:  # noqa: ARG002 - as Finder has it
        """Return what is known of processes, without those that are gone; blocking."""
        found = {}
        for pid in pids:
            try:
                running = self._psutil.Process(pid)
                process, uid = self._described(running), self._uid_of([running])
            except self._psutil.Error:
                continue
            if uid is not None:
                found[pid] = Found(uid=uid, process=process, cgroup=None)
        return found

    def _connections_of(self, process: Running) -> set[Connection]:
        """Return a process's connections as far as they may be known."""
        try:
            held = process.net_connections("tcp")
        except self._psutil.Error:
            return set()
        return {Connection(_plain(*one.laddr), _plain(*one.raddr)) for one in held if one.laddr and one.raddr}

    def _described_holder(self, process: Running) -> tuple[Process | None, set[Connection]]:
        """Return a process, and which connections it held after it had been looked at."""
        try:
            return self._described(process), self._connections_of(process)
        except self._psutil.Error:
            return None, set()

    def _uid_of(self, processes: list[Running]) -> int | None:
        """Return the user of all processes; None where there are several, or one of them acts for another."""
        try:
            uids = {uid for process in processes for uid in process.uids()}
        except self._psutil.Error:
            return None
        return int(uids.pop()) if len(uids) == 1 else None

    def _described(self, running: Running) -> Process | None:
        """Return a process and its ancestors, None where one of them changed meanwhile or may not be known."""
        programs: list[Program] = []
        process, began = running, running.create_time()
        try:
            while len(programs) <= MOST_ANCESTORS:
                programs.append(self._program(process))
                parent = process.ppid()
                if not parent:
                    break
                process = self._psutil.Process(parent)
                if process.create_time() > began:
                    return None  # younger than its child: another one with the same number
                began = process.create_time()
        except self._psutil.Error:
            return None
        if len(programs) > MOST_ANCESTORS or not running.is_running():
            return None
        return Process(program=programs[0], ancestors=tuple(programs[1:]))

    def _program(self, process: Running) -> Program:
        command, exe, arguments = process.name(), None, list[str]()
        try:
            exe = process.exe() or None
            arguments = process.cmdline()[1:]
        except self._psutil.Error:  # another user's
            pass
        name = exe.rpartition("/")[2] if exe is not None else ""
        script = script_name(arguments, name) if is_interpreter(name) else None
        return Program(pid=process.pid, exe=exe, command=command or None, script=script)


def _oldest(processes: list[Running]) -> Running:
    return min(processes, key=lambda process: (process.create_time(), process.pid))


def _plain(host: str, port: int) -> EndPoint:
    return str(address(host)), port
