"""A real Docker engine in a network namespace, with an image of one static program; nothing is fetched."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from support.namespaces import Namespace

IMAGE = "imds-test:busybox"
BUSYBOX = Path("/bin/busybox")

PODMAN_CONF = """\
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
pids_limit = -1
default_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]
"""
STORAGE_CONF = """\
[storage]
driver = "vfs"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""


class Engine:
    """``dockerd``, or podman's service, which speaks the same; use it as a context manager."""

    def __init__(self, kind: str, namespace: Namespace) -> None:
        program = {"docker": "dockerd", "podman": "podman"}[kind]
        for needed in (program, "docker"):
            if shutil.which(needed) is None:
                pytest.skip(f"needs {needed}")
        if not BUSYBOX.exists():
            pytest.skip(f"needs {BUSYBOX} (busybox-static)")
        self._kind = kind
        self._namespace = namespace

    def __enter__(self) -> Engine:
        self._folder = Path(tempfile.mkdtemp(prefix="imds-engine-"))
        self.socket = self._folder / "engine.sock"
        script = Path(__file__).with_name("engine.sh")
        self._log = (self._folder / "log").open("w+b")
        self._process = subprocess.Popen(
            ["bash", str(script), self._namespace.name, *self._service()],
            env=os.environ | self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = monotonic() + 60
        while subprocess.run([*self._command, "info"], capture_output=True, check=False, timeout=30).returncode != 0:
            said = (self._folder / "log").read_text()
            if self._process.poll() is not None:
                pytest.skip(f"{self._kind} does not run here: {said.splitlines()[-1] if said else 'no word'}")
            assert monotonic() < deadline, said
            sleep(0.1)  # another program's start; there is nothing to wait on
        self.run("import", "-", IMAGE, given=_image())
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.run("ps", "--quiet", check=False).split():
            self.run("rm", "--force", name, check=False)
        ours = _below(self._process.pid)
        deadline = monotonic() + 10
        while (helpers := set(self._left_behind()) - set(ours)) and monotonic() < deadline:
            _end(helpers)
            sleep(0.05)  # they are nobody's children; there is nothing to wait on
        _end(ours)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _left_behind(self) -> list[int]:
        """Return the engine's helpers, which are nobody's children: they have our folder in their arguments."""
        found = []
        for arguments in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if str(self._folder).encode() in arguments.read_bytes():
                    found.append(int(arguments.parent.name))
        return found

    def _service(self) -> list[str]:
        if self._kind == "podman":
            return ["podman", "system", "service", "--time", "0", f"unix://{self.socket}"]
        return [
            *("dockerd", "--storage-driver", "vfs", "--host", f"unix://{self.socket}"),
            *("--data-root", str(self._folder / "data"), "--exec-root", str(self._folder / "exec")),
            *("--pidfile", str(self._folder / "pid")),
        ]

    def _environment(self) -> dict[str, str]:
        (self._folder / "containers.conf").write_text(PODMAN_CONF)
        (self._folder / "storage.conf").write_text(STORAGE_CONF.format(folder=self._folder))
        return {
            "CONTAINERS_CONF": str(self._folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self._folder / "storage.conf"),
        }

    @property
    def _command(self) -> list[str]:
        return ["docker", "--host", f"unix://{self.socket}"]

    def run(self, *arguments: str, given: bytes = b"", check: bool = True) -> str:
        """Return what a ``docker`` command prints."""
        done = subprocess.run([*self._command, *arguments], input=given, capture_output=True, timeout=60, check=False)
        assert not check or done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def start(self, name: str, *options: str) -> None:
        """Start a container that waits."""
        limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")  # as any machine allows
        self.run("run", "--detach", "--name", name, *limits, *options, IMAGE, "/bin/busybox", "sleep", "600")

    def get(self, name: str, url: str) -> str:
        """Return what a program in a container gets from a URL, empty for an error."""
        return self.run("exec", name, "/bin/busybox", "wget", "-qO-", url, check=False)

    def until_it_answers(self, name: str, *command: str) -> None:
        """Wait until a command in a container succeeds."""
        deadline = monotonic() + 30
        while not self.run("exec", name, *command, check=False):
            assert monotonic() < deadline, self.logs(name)
            sleep(0.1)  # another program's start; there is nothing to wait on

    def logs(self, name: str) -> str:
        """Return what a container has said."""
        done = subprocess.run([*self._command, "logs", name], capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    def address(self, name: str) -> str:
        """Return a container's address on the bridge."""
        return self.run("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name)


def _end(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _below(pid: int) -> list[int]:
    """Return a process and its descendants, the innermost first."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    below = [int(child) for child in children.read_text().split()] if children.exists() else []
    return [one for child in below for one in _below(child)] + [pid]


def _image() -> bytes:
    """Return a root file system of busybox alone."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(BUSYBOX, "bin/busybox")
    return packed.getvalue()
