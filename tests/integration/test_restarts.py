"""The daemon as a process, stopped and killed: clients notice nothing, and nothing old is served."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep

import pytest
from support import wire
from support.daemon import DaemonProcess, clean_environment, write_config
from support.desktop import Desktop, needs_keyring
from support.fakes import KNOWN_SECRETS
from support.machine import Clocks, eventually
from support.manager import ServiceManager
from support.sts import Answer, Call, StandInSts, error

PATH = "/latest/meta-data/iam/security-credentials/"
CONFIG = """\
region: eu-west-1
listen: ["http://127.0.0.1:0"]
{more}
roles:
  app: {{role_arn: "arn:aws:iam::111122223333:role/app", source: {{profile: work}}}}
  audited: {{role_arn: "arn:aws:iam::444455556666:role/audited", source: {{role: app}}}}
"""
FILE = "persist_sessions: file"
Serve = Callable[..., DaemonProcess]


@pytest.fixture
def serve(home: Path, sts: StandInSts) -> Serve:
    """Return a daemon that keeps its sessions; each is the successor of the one before."""

    def start(more: str = FILE, **environment: str) -> DaemonProcess:
        file = write_config(home / "imds.yaml", CONFIG.format(more=more))
        variables = {"AWS_ENDPOINT_URL_STS": sts.url} | environment
        return DaemonProcess(home, "serve", "--config", str(file), environment=variables)

    return start


def status(daemon: DaemonProcess) -> dict[str, object]:
    """Return how it is."""
    _, said = wire.control(daemon.control_socket, "GET", "/v1/status")
    return said


def keys(daemon: DaemonProcess) -> dict[str, str]:
    """Return the access key id of each role, as its document has it."""
    port = int(status(daemon)["listen"][0].rstrip("/").rpartition(":")[2])
    address = ("127.0.0.1", port)
    token = wire.get_token(address)
    replies = {name: wire.get(address, PATH + name, token=token) for name in ("app", "audited")}
    return {name: json.loads(reply.body)["AccessKeyId"] for name, reply in replies.items() if reply.status == 200}


def state_file(home: Path) -> Path:
    """Return the file that sessions are kept in."""
    return home / "state" / "imds" / "sessions"


def kept_files(home: Path) -> list[Path]:
    """Return every file in the state directory."""
    return [path for path in (home / "state").rglob("*") if path.is_file()]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_the_same_sessions_after_a_restart(serve, home, sts, end):
    """After a clean stop and after a crash: the same keys, no call to AWS, and nothing else is on the disk."""
    with serve() as first:
        before = keys(first)
        eventually(lambda: state_file(home).exists() and all(key in state_file(home).read_text() for key in before))
        first.signal(end)
        first.process.wait(10)
    assert "AKIA" not in state_file(home).read_text()
    assert state_file(home).stat().st_mode & 0o777 == 0o600
    calls = len(sts.calls)
    with serve() as second:
        assert keys(second) == before
        said = status(second)
        assert said["sessions"] == {"kept_in": "file", "restored": ["app", "audited"]}
        assert [role["state"] for role in said["roles"]] == ["ok", "ok"]
    assert len(sts.calls) == calls


def test_served_before_botocore_is_loaded(serve, home, sts):
    """While AWS's library is still being imported READY is out and clients have their documents; a reload counts."""
    with serve() as first:
        before = keys(first)
    slow = home / "slow" / "botocore"
    slow.mkdir(parents=True)
    (slow / "__init__.py").write_text("import time\ntime.sleep(600)\n")
    with serve(PYTHONPATH=str(slow.parent)) as second:
        assert keys(second) == before
        (home / "imds.yaml").write_text(CONFIG.format(more=FILE).replace("role/audited", "role/other"))
        assert wire.control(second.control_socket, "POST", "/v1/reload")[0] == 200
        assert keys(second) == {"app": before["app"]}
        second.process.kill()  # nothing would end that import
        second.process.wait(10)


def test_a_clock_set_back_meanwhile_revives_nothing(serve, sts, clocks: Clocks):
    """An hour and more passes without a daemon, then somebody sets the clock back: nothing of before is served."""
    with serve(**clocks.environment):
        pass
    clocks.suspend(timedelta(minutes=70))
    clocks.step(-timedelta(minutes=70))
    sts.behaviour = error("AccessDenied", status=403)
    with serve(**clocks.environment) as second:
        assert status(second)["sessions"]["restored"] == []
        assert keys(second) == {}


def test_a_clock_that_is_wrong_is_known_at_once(serve, sts, clocks: Clocks):
    """What AWS said of its time is kept too: a machine two hours ahead keeps its sessions over a restart."""
    clocks.step(timedelta(hours=2))  # AWS's time is this process's
    with serve(**clocks.environment) as first:
        before = keys(first)
        assert status(first)["clock_skew_seconds"] == pytest.approx(-7200, abs=5)
    with serve(**clocks.environment) as second:
        assert keys(second) == before


def run_to_its_end(home: Path, sts: StandInSts, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Return how a command ends."""
    return subprocess.run(
        [sys.executable, "-m", "imds", *arguments],
        env=clean_environment(home) | {"AWS_ENDPOINT_URL_STS": sts.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_place_that_is_forced_and_cannot_be_used_ends_the_start(home, sts):
    """Status 78, with what to do; no traceback."""
    file = write_config(home / "imds.yaml", CONFIG.format(more=FILE))
    state_file(home).parent.mkdir(parents=True, mode=0o700)
    state_file(home).write_text("x")
    state_file(home).chmod(0o640)
    done = run_to_its_end(home, sts, "serve", "--config", str(file))
    assert done.returncode == 78
    assert f"{file}: persist_sessions: cannot be used: file: {state_file(home)}: others may use it" in done.stderr
    assert "Traceback" not in done.stderr


def test_exec_without_a_daemon_keeps_nothing(home, sts):
    """Whatever the configuration says: the command's server is for the command."""
    file = write_config(home / "imds.yaml", CONFIG.format(more=FILE))
    done = run_to_its_end(home, sts, "exec", "--config", str(file), "--", "true")
    assert done.returncode == 0, done.stderr
    assert kept_files(home) == []


@needs_keyring
def test_in_the_keyring_of_the_desktop(serve, home):
    """It survives logging out; locked, the next of the list is taken."""
    more = "persist_sessions: [os_keyring, none]"
    with Desktop(home) as desktop, serve(more, **desktop.environment) as first:
        before = keys(first)
        assert status(first)["sessions"]["kept_in"] == "os_keyring"
    with Desktop(home) as desktop, serve(more, **desktop.environment) as second:
        assert keys(second) == before
    with Desktop(home, unlocked=False) as desktop, serve(more, **desktop.environment) as third:
        assert status(third)["sessions"] == {"kept_in": None, "restored": []}
        assert "os_keyring: the keyring is locked: unlock it" in third.log
    assert not state_file(home).exists()


def test_in_the_store_of_the_service_manager(home, sts):
    """The default under systemd: memory that it holds; the disk has nothing, and a change of mind takes it back."""
    file = write_config(home / "imds.yaml", CONFIG.format(more=""))
    with ServiceManager(home, "serve", "--config", str(file), environment={"AWS_ENDPOINT_URL_STS": sts.url}) as manager:
        seen = set()
        for number in (signal.SIGTERM, signal.SIGTERM):
            manager.start()
            manager.wait_ready()
            seen.add(json.loads(wire.get(manager.address, PATH + "app").body)["AccessKeyId"])
            manager.end(number)
            assert len(manager.stored) == 1
        assert len(seen) == 1
        texts = [path.read_text(errors="replace") for path in kept_files(home)]
        assert not any(secret in text for secret in KNOWN_SECRETS for text in texts)
        write_config(file, CONFIG.format(more="persist_sessions: none"))
        manager.start()
        manager.wait_ready()
        manager.settle()
        assert manager.stored == {}


@dataclass
class Fetches:
    """What became of a client's fetches.

    Attributes:
        done: how many brought a document.
        failed: why others did not.
        cut: connections that broke before the answer came.
        slowest: seconds.
        seen: the access key ids of each role.
    """

    done: int = 0
    failed: list[str] = field(default_factory=list)
    cut: int = 0
    slowest: float = 0
    seen: dict[str, Counter[str]] = field(default_factory=lambda: {"app": Counter(), "audited": Counter()})


class Client(threading.Thread):
    """Fetches one role after another as an SDK does: a token, the list, the document; three attempts for each.

    Three is what the SDKs for Go, Java and JavaScript make. A connection that a killed process had accepted is broken
    by the kernel: no server can help that, and an attempt more does.
    """

    def __init__(self, address: tuple[str, int], enough: threading.Event, given: dict[str, str]) -> None:
        super().__init__()
        self._address = address
        self._enough = enough
        self._given = given
        self._kept_token: str | None = None
        self.fetches = Fetches()

    def run(self) -> None:
        """Fetch until it is enough."""
        while not self._enough.is_set():
            for role in ("app", "audited"):
                began = monotonic()
                try:
                    self._fetch(role)
                except (OSError, AssertionError, LookupError, ValueError) as problem:
                    self.fetches.failed.append(f"{role}: {problem!r}")
                self.fetches.slowest = max(self.fetches.slowest, monotonic() - began)
                sleep(0.03)  # a client has other things to do

    def _fetch(self, role: str) -> None:
        token = self._ask("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "600"})
        self._kept_token = self._kept_token or token  # the first one is good to the end, whoever answers
        assert self._ask("GET", PATH, {"X-aws-ec2-metadata-token": self._kept_token}) == "app"
        document = json.loads(self._ask("GET", PATH + role, {"X-aws-ec2-metadata-token": token}))
        assert document["Code"] == "Success"
        left = datetime.strptime(document["Expiration"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) - datetime.now(UTC)
        assert left > timedelta(), f"expired {-left} ago"
        assert self._given[document["AccessKeyId"]] == role, "another role's document"
        self.fetches.done += 1
        self.fetches.seen[role][document["AccessKeyId"]] += 1

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> str:
        for attempt in range(3):
            try:
                reply = wire.exchange(self._address, wire.request(method, path, headers), timeout=10)
                assert reply.status == 200, reply.raw
                return reply.body.decode()
            except (ConnectionError, LookupError):
                self.fetches.cut += 1
                if attempt == 2:
                    raise
        raise AssertionError


def watched(sts: StandInSts) -> dict[str, str]:
    """Return which role each session was given for, from now on."""
    given: dict[str, str] = {}

    def answer(call: Call) -> Answer:
        answered = sts.session(call)
        key = answered.body.partition("<AccessKeyId>")[2].partition("<")[0]
        given[key] = call.get("RoleArn", "/").rpartition("/")[2]
        return answered

    sts.behaviour = answer
    return given


@contextmanager
def clients(address: tuple[str, int], given: dict[str, str], number: int = 3):
    """Keep clients fetching meanwhile."""
    enough = threading.Event()
    threads = [Client(address, enough, given) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        enough.set()
        for thread in threads:
            thread.join()


def _more(client: Client, done: int) -> bool:
    """Whether a fetch has succeeded that began after another had."""
    return client.fetches.done > done + 1


def _saw_a_renewal(client: Client) -> bool:
    """Whether a client was given new keys of every role meanwhile."""
    return all(len(keys) > 1 for keys in client.fetches.seen.values())


RESTARTS, KILLS = 50, 20
LIFETIME = timedelta(minutes=1)


@pytest.mark.timeout(300)
def test_a_storm_of_restarts_fails_no_fetch(home, sts):
    """Fifty restarts and twenty kills in any order: no fetch fails, and nothing expired or another role's is served.

    The sessions live a minute and are renewed at half of it, in between. A restart breaks no connection at all, a kill
    at most the one that each client has open.
    """
    given = watched(sts)
    sts.lifetime = LIFETIME
    file = write_config(home / "imds.yaml", CONFIG.format(more=""))
    ends = [signal.SIGTERM] * RESTARTS + [signal.SIGKILL] * KILLS
    chance = random.Random(7)
    chance.shuffle(ends)
    cut = Counter()
    with ServiceManager(home, "serve", "--config", str(file), environment={"AWS_ENDPOINT_URL_STS": sts.url}) as manager:
        manager.start()
        manager.wait_ready()
        renewed, calls = monotonic(), len(sts.calls)
        with clients(manager.address, given) as threads:
            for number, end in enumerate(ends):
                if number == len(ends) // 2:  # on a fast machine nothing would be due before all is over
                    eventually(lambda: all(map(_saw_a_renewal, threads)), within=2 * LIFETIME.total_seconds())
                if monotonic() - renewed > LIFETIME.total_seconds() / 2:  # a life that is long enough for a renewal
                    eventually(lambda calls=calls: len(sts.calls) == calls + 2)
                    renewed, calls = monotonic(), len(sts.calls)
                sleep(chance.uniform(0, 0.1))  # whenever it pleases
                broken = [thread.fetches.cut for thread in threads]
                assert manager.end(end) == (0 if end is signal.SIGTERM else -signal.SIGKILL)
                manager.start()
                done = [thread.fetches.done for thread in threads]
                eventually(lambda done=done: all(map(_more, threads, done)))
                cut[end] += sum(thread.fetches.cut for thread in threads) - sum(broken)
    fetches = [thread.fetches for thread in threads]
    assert [one.failed for one in fetches] == [[]] * len(fetches)
    assert cut[signal.SIGTERM] == 0
    assert cut[signal.SIGKILL] <= KILLS * len(fetches)
    assert all(map(_saw_a_renewal, threads))
    assert len(sts.calls) <= 8, "a restart asks AWS for nothing"
