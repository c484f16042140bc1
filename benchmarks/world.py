"""Everything that a run needs: a home directory, an STS, a load generator, our daemon and the references."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import load
from benchmarks.fake_sts import FakeSts
from benchmarks.processes import HIDE_UVLOOP, PROCESSOR, SHOW_UVLOOP, Generator, Server, exchange, free_port

OURS = "imds"
APP = "ordinary aiohttp app"
AIOHTTP = "bare aiohttp"
ASYNCIO = "bare asyncio"
ROLE = "app"
EVENT_LOOPS = ("asyncio", "uvloop")


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long to measure: ``QUICK`` for a look, ``FULL`` for figures that are written down."""

    rounds: int
    seconds: float
    herds: int
    starts: int
    requests: int
    idle: float


QUICK = Effort(rounds=3, seconds=0.12, herds=1, starts=3, requests=1_500, idle=10)
FULL = Effort(rounds=7, seconds=0.5, herds=5, starts=9, requests=10_000, idle=60)


class World:
    """What all measurements share; use it as a context manager.

    Attributes:
        home: the daemon's home directory.
        sts: the STS that it talks to.
        generator: the load generator.
        effort: how long to measure.
    """

    def __init__(self, effort: Effort) -> None:
        self.effort = effort

    def __enter__(self):
        os.sched_setaffinity(0, {PROCESSOR})  # of this thread and of every process that it starts
        with contextlib.ExitStack() as stack:
            self.home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="imds-benchmarks-")))
            self.sts = stack.enter_context(FakeSts())
            self.generator = stack.enter_context(Generator())
            (self.home / ".aws").mkdir()
            (self.home / ".aws" / "config").write_text(
                "[profile work]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = made-up\n"
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_) -> None:
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        """The daemon's and the references' environment; nothing of the developer's AWS set-up is in it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "IMDS_", "XDG_"))}
        kept.pop("NOTIFY_SOCKET", None)
        return kept | {
            "HOME": str(self.home),
            "AWS_CONFIG_FILE": str(self.home / ".aws" / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.home / ".aws" / "credentials"),
            "AWS_ENDPOINT_URL_STS": self.sts.url,
        }

    def config(self, roles: int = 1, *, audit: bool = True) -> Path:
        """Return a configuration with so many roles; the first is ``ROLE`` and the default. Load is not limited."""
        names = [ROLE, *(f"role-{number}" for number in range(1, roles))]
        entries = "".join(
            f"  {name}:\n    role_arn: arn:aws:iam::111122223333:role/{name}\n    source: {{profile: work}}\n"
            for name in names
        )
        path = self.home / f"imds-{roles}-{audit}.yaml"
        settings = "rate_limit: none\n" + ("" if audit else "audit_log: none\n")
        path.write_text(f"region: eu-west-1\n{settings}roles:\n{entries}")
        return path

    def daemon(self, *, roles: int = 1, event_loop: str = "asyncio", audit: bool = True) -> Server:
        """Return our daemon, to be started."""
        port = free_port()
        runtime = self.home / f"run-{port}"
        runtime.mkdir(mode=0o700)
        return Server(
            "-c",
            SHOW_UVLOOP if event_loop == "uvloop" else HIDE_UVLOOP,
            *("serve", "--config", str(self.config(roles, audit=audit)), "--listen", f"http://127.0.0.1:{port}"),
            port=port,
            environment=self.environment | {"XDG_RUNTIME_DIR": str(runtime), "XDG_STATE_HOME": str(runtime)},
        )

    def reference(self, kind: str, answers: Path, *, event_loop: str = "asyncio") -> Server:
        """Return one of the references, to be started."""
        port = free_port()
        flags = ["--uvloop"] if event_loop == "uvloop" else []
        return Server(
            *("-m", "benchmarks.references", kind, "--port", str(port), "--answers", str(answers), *flags),
            port=port,
            environment=self.environment,
        )

    def container_request(self, daemon: Server) -> str:
        """Return a request for container credentials, with a token that ``daemon`` gives for it."""
        runtime = self.home / f"run-{daemon.port}"
        printed = subprocess.run(
            [sys.executable, "-m", "imds", "env", "--shell", "dotenv", ROLE],
            env=self.environment | {"IMDS_CONTROL_SOCKET": str(runtime / "imds" / "control.sock")},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        variables = dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)
        path = "/" + variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"].split("/", 3)[3]
        token = variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
        return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {token}\r\n\r\n"

    def record(self, daemon: Server, container: str) -> Path:
        """Return a file with what ``daemon`` answers, for the references to answer too."""
        token, listing, document = (request.encode() for request in load.cycle(ROLE))
        given = exchange(daemon.port, token)
        value = given.partition(b"\r\n\r\n")[2]
        recorded = {
            "token": given,
            "list": exchange(daemon.port, listing.replace(load.TOKEN, value)),
            "role": exchange(daemon.port, document.replace(load.TOKEN, value)),
            "container": exchange(daemon.port, container.encode()),
        }
        path = self.home / "answers.json"
        path.write_text(json.dumps({name: raw.decode("latin-1") for name, raw in recorded.items()}))
        return path

    def await_credentials(self, server: Server) -> float:
        """Wait until ``server`` gives the role's document; return the seconds since its start."""
        token, _, document = load.cycle(ROLE)
        return server.first(document.encode(), token=token.encode(), pause=0.005)
