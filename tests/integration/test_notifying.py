"""Notices over every channel: who is told gets exactly what was meant, and whatever goes wrong is bounded and told."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.notified import Hook, NotificationDaemon

from imds.config.channels import Command, Desktop, Journal, Webhook
from imds.core.clock import SystemClock
from imds.core.notices import Notice
from imds.daemon.notifying import Notifying, failed
from imds.host.notifying import journal
from imds.host.notifying.command import _Pipes

HOSTILE = "<b>x</b> & --help $(touch /tmp/imds-was-run) \n\x1b[31m {role} \\n"
HARMLESS = "<b>x</b> & --help $(touch /tmp/imds-was-run) ??[31m {role} \\n"
SECOND = timedelta(seconds=1)
SECRET = b"neverlogthissecretofahook"

needs_desktop = pytest.mark.skipif(
    not (shutil.which("dbus-daemon") and shutil.which("busctl")), reason="needs dbus-daemon and busctl"
)


def notice(**changes: object) -> Notice:
    """Return what is told when a role is activated, for a hostile reason."""
    values = {"event": "activated", "role": "admin", "id": "a1b2", "user": "alice", "uid": 1000, "host": "laptop"}
    return Notice(at=datetime.now(UTC), **{"reason": HOSTILE, **values, **changes})


def notifying(**environment: str) -> Notifying:
    """Return what tells, in an environment."""
    variables = {"PATH": os.environ["PATH"], **environment}
    return Notifying(clock=SystemClock(), environment=variables, keepers=None, roles=dict)


async def error_of(channel: object, *, told: Notifying | None = None, **changes: object) -> str:
    """Tell one channel, and return why it has failed; empty where it has not."""
    (outcome,) = await (told or notifying()).tell([channel], notice(**changes))
    assert outcome.ok is (outcome.error == "")
    assert "neverlogthis" not in f"{outcome} {channel!r} {channel}"
    return outcome.error


@pytest.fixture(autouse=True)
def nothing_is_run() -> Iterator[None]:
    """Whatever is told, no shell reads the hostile text."""
    yield
    assert not Path("/tmp/imds-was-run").exists()  # noqa: S108 - what it would make


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A webhook on loopback."""
    with Hook() as made:
        yield made


# commands


async def test_command_gets_json_and_variables(tmp_path: Path) -> None:
    """A program reads JSON and finds variables; nothing of it is run, and no variable of AWS is among them."""
    out = tmp_path / "out"
    program = 'cat >"$0"; env -0 >"$0.env"; printf "%s" "$IMDS_REASON" >"$0.reason"'
    told = notifying(AWS_SECRET_ACCESS_KEY="neverlogthissecretaccesskey", AWS_PROFILE="work", HOME=str(tmp_path))
    assert not await error_of(Command(command=("sh", "-c", program, str(out))), told=told)
    read = json.loads(out.read_text())
    assert (read["event"], read["role"], read["uid"], read["reason"]) == ("activated", "admin", 1000, HARMLESS)
    assert (tmp_path / "out.reason").read_text() == HARMLESS
    variables = dict(line.split("=", 1) for line in (tmp_path / "out.env").read_text().split("\0") if line)
    assert not [name for name in variables if name.startswith("AWS_")]
    assert variables["IMDS_MESSAGE"] == read["message"]
    assert variables["HOME"] == str(tmp_path)


async def test_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    """At its timeout a program is killed with whatever it has started."""
    pids = tmp_path / "pids"
    program = 'sleep 60 & echo $! $$ >"$0"; trap "" TERM; wait'
    began = monotonic()
    assert await error_of(Command(command=("sh", "-c", program, str(pids)), timeout=SECOND)) == "did not end within 1 s"
    assert monotonic() - began < 5
    for pid in pids.read_text().split():
        assert await gone(int(pid))


async def gone(pid: int) -> bool:
    """Return whether a process has ended, within a few seconds."""
    for _ in range(200):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        await asyncio.sleep(0.02)  # the kernel's doing; there is nothing to wait on
    return False


async def test_what_a_command_leaves_behind_is_not_waited_for(tmp_path: Path) -> None:
    """A program that ends well has told, though a child of it holds its output."""
    pid = tmp_path / "pid"
    began = monotonic()
    assert not await error_of(Command(command=("sh", "-c", 'sleep 60 & echo $! >"$0"', str(pid))))
    assert monotonic() - began < 5
    os.kill(int(pid.read_text()), signal.SIGKILL)


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("echo one >&2; echo 'two \033[31m' >&2; exit 3", "ended with status 3: two ?[31m"),
        ("exit 1", "ended with status 1"),
        ("kill -9 $$", "was ended by signal 9"),
        (
            "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; echo >&2; echo last >&2; exit 2",
            "ended with status 2: last",
        ),
        ("head -c 300000 /dev/zero | tr '\\0' x >&2; exit 2", "ended with status 2: " + "x" * 200),
        ("exec <&-; exit 0", ""),
    ],
    ids=["words", "silent", "signal", "megabytes", "one long line", "does not read"],
)
async def test_command_that_fails(program: str, error: str) -> None:
    """How it ended is told with the last line that it said, bounded and printable."""
    assert await error_of(Command(command=("sh", "-c", program))) == error


def test_last_word_of_a_program_that_was_quick() -> None:
    """What a program said is read though it has ended before anybody looked, and though a child holds the pipe."""
    with subprocess.Popen(
        ["sh", "-c", "sleep 60 & echo $!; echo word >&2; exit 3"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as program:
        assert program.wait(10) == 3
        pipes = _Pipes(program, b"")
        pipes.read_rest()
        os.kill(int(pipes.printed), signal.SIGKILL)
        assert pipes.complaint == b"word\n"


async def test_command_that_is_not_there() -> None:
    """That a program is not there is told as such."""
    assert await error_of(Command(command=("/nowhere/notify",))) == "cannot be started: No such file or directory"


async def test_cancelled_command_is_killed(tmp_path: Path) -> None:
    """Who stops waiting for a notice leaves no program behind."""
    pid = tmp_path / "pid"
    os.mkfifo(pid)
    task = asyncio.create_task(
        notifying().tell([Command(command=("sh", "-c", 'echo $$ >"$0"; sleep 60', str(pid)))], notice())
    )
    read = int(await asyncio.to_thread(pid.read_text))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(read)


# webhooks


async def test_webhook_gets_json(hook: Hook) -> None:
    """JSON is posted to the path, with the reason as it is."""
    assert not await error_of(Webhook(url=f"{hook.url}/%2F?a=%2b+'&b"))
    ((path, headers, body),) = hook.requests
    assert (path, headers["Content-Type"]) == ("/neverlogthispath/%2F?a=%2b+'&b", "application/json")
    assert json.loads(body)["reason"] == HARMLESS
    assert "X-Imds-Signature" not in headers


async def test_signature_is_what_the_page_says(hook: Hook, tmp_path: Path) -> None:
    """The page's own snippet takes the right secret, and no other secret, body or time."""
    page = (Path(__file__).parents[2] / "docs" / "notifications.md").read_text()
    names: dict[str, object] = {}
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], names)  # noqa: S102 - our own page
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET + b"\n")
    secret.chmod(0o600)
    assert not await error_of(Webhook(url=hook.url, secret_file=secret))
    _, headers, body = hook.requests[0]
    verify = names["verify"]
    assert verify(SECRET, headers, body)
    assert not verify(b"another", headers, body)
    assert not verify(SECRET, headers, body.replace(b"alice", b"mally"))
    assert not verify(SECRET, headers | {"X-Imds-Timestamp": str(int(headers["X-Imds-Timestamp"]) + 1)}, body)
    assert not verify(SECRET, headers | {"X-Imds-Timestamp": "1700000000"}, body)


@pytest.mark.parametrize(
    ("content", "mode", "error"),
    [(None, 0, "cannot be read: No such file"), (b"x", 0o604, "chmod o-rwx"), (b"\n", 0o600, "holds no secret")],
    ids=["none", "for everybody", "empty"],
)
async def test_secret_that_cannot_be_used(
    content: bytes | None, mode: int, error: str, hook: Hook, tmp_path: Path
) -> None:
    """Without a good secret nothing is posted, rather than something unsigned."""
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
        secret.chmod(mode)
    assert error in await error_of(Webhook(url=hook.url, secret_file=secret))
    assert not hook.requests


@pytest.mark.parametrize("status", [300, 302, 307, 400, 401, 404, 500, 503])
async def test_webhook_that_does_not_take_it(hook: Hook, status: int) -> None:
    """Anything but 2xx is a failure, and nobody follows a redirect."""
    hook.status = status
    with Hook() as elsewhere:
        hook.location = elsewhere.url if status < 400 else ""
        assert f"answered with status {status}" in await error_of(Webhook(url=hook.url))
        assert not elsewhere.requests


async def test_slow_webhook(hook: Hook) -> None:
    """A server that does not answer costs its timeout and no more."""
    hook.held.clear()
    began = monotonic()
    assert await error_of(Webhook(url=hook.url, timeout=SECOND)) == "no end within 1s"
    assert monotonic() - began < 3


async def test_webhook_that_is_down(hook: Hook) -> None:
    """Nobody listens, or the line is cut."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/neverlogthispath"
        assert await error_of(Webhook(url=url)) == "cannot be reached: Connection refused"
    hook.drops = True
    assert await error_of(Webhook(url=hook.url)) == "it closed the connection without an answer"


async def test_webhook_over_tls(certificate: Path) -> None:
    """A certificate counts only when the bundle has its authority, and for its own name only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Hook(context) as hook:
        assert "its certificate is not trusted" in await error_of(Webhook(url=hook.url))
        assert not hook.requests
        trusting = notifying(AWS_CA_BUNDLE=str(certificate))
        assert not await error_of(Webhook(url=hook.url), told=trusting)
        other = hook.url.replace("localhost", "127.0.0.1")
        assert "its certificate is not trusted" in await error_of(Webhook(url=other), told=trusting)
        nowhere = notifying(AWS_CA_BUNDLE="/nowhere/ca.pem")
        assert "No such file" in await error_of(Webhook(url=hook.url), told=nowhere)
        assert len(hook.requests) == 1


async def test_proxy_of_the_environment(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy is asked for other hosts, as the environment says, and never for this one."""
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{hook.port}")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert await error_of(Webhook(url="https://hooks.invalid/neverlogthispath")) == "the proxy did not let us through"
    assert not await error_of(Webhook(url=hook.url))
    monkeypatch.setenv("no_proxy", "hooks.invalid")
    assert "no such host" in await error_of(Webhook(url="https://hooks.invalid/neverlogthispath"))


async def test_slack_takes_nothing_for_markup(hook: Hook) -> None:
    """What Slack would take for markup or a mention is escaped."""
    channel = Webhook(url=hook.url, slack=True, message="{user}: {reason}")
    assert not await error_of(channel, reason="<!channel> & *<https://x.example|y>*")
    sent = json.loads(hook.requests[0][2])
    assert sent == {"text": "alice: &lt;!channel&gt; &amp; *&lt;https://x.example|y&gt;*", "mrkdwn": False}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of localhost that is its own authority, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("hook") / "hook.pem"
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


# the desktop


@needs_desktop
@pytest.mark.parametrize(
    ("capabilities", "shown"),
    [
        (("body", "body-markup"), "&lt;b&gt;x&lt;/b&gt; &amp; --help $(touch /tmp/imds-was-run) ??[31m {role} \\n"),
        (("body",), HARMLESS),
        ((), HARMLESS),
    ],
    ids=["reads markup", "does not", "says nothing"],
)
async def test_desktop_shows_the_text_as_it_is(capabilities: tuple[str, ...], shown: str) -> None:
    """The desktop gets the very text, escaped where it reads markup, and nothing in it is an option or a command."""
    with NotificationDaemon(*capabilities) as desktop:
        assert not await error_of(Desktop(message="{reason}"), told=notifying(**desktop.environment))
    (arguments,) = desktop.shown
    program, replaces, _, summary, body, actions, hints, expires = arguments
    assert (program, replaces, actions, expires) == ("imds", 0, [], 0)
    assert summary == "alice has activated break-glass role admin on laptop"
    assert body == shown
    assert hints["urgency"] == ("y", 2)


@needs_desktop
@pytest.mark.parametrize("text", ["--help", "-x", "'a' \"b\"", "@s 'x'", "", "%s%n", "ünïcödé ✓"])
async def test_desktop_takes_no_text_for_anything_else(text: str) -> None:
    """Whatever a text looks like, it is shown as it is."""
    with NotificationDaemon("body") as desktop:
        error = await error_of(
            Desktop(message="{reason}"), told=notifying(**desktop.environment), reason=text, user=text
        )
    assert not error
    assert desktop.shown[0][4] == (text or desktop.shown[0][3])
    assert text in desktop.shown[0][3]


@needs_desktop
async def test_desktop_that_does_not_take_it(tmp_path: Path) -> None:
    """A desktop that refuses, a bus without one and no bus at all are failures that say so."""
    with NotificationDaemon("body", refuses=True) as desktop:
        error = await error_of(Desktop(), told=notifying(**desktop.environment))
        assert error.startswith("the desktop did not take it: ")
        assert "\n" not in error
    gone_bus = notifying(**desktop.environment)
    assert (await error_of(Desktop(), told=gone_bus)).startswith("the desktop did not take it: ")
    assert "no session bus" in await error_of(Desktop(), told=notifying(XDG_RUNTIME_DIR=str(tmp_path)))


# the journal


def test_journal_gets_fields(tmp_path: Path) -> None:
    """Every line of a text stays in its field, by the journal's own protocol."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "socket"))
        assert journal.write("one\nREASON=two", {"reason": HARMLESS, "id": ""}, path=tmp_path / "socket")
        fields = dict(parsed(listening.recv(65536)))
    assert fields == {
        "MESSAGE": "one\nREASON=two",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "imds",
        "IMDS_REASON": HARMLESS,
    }


def parsed(entry: bytes) -> Iterator[tuple[str, str]]:
    """Yield the fields of an entry, as journald reads them."""
    while entry:
        name, _, entry = entry.partition(b"\n")
        (length,) = struct.unpack_from("<Q", entry)
        yield name.decode(), entry[8 : 8 + length].decode()
        assert entry[8 + length : 9 + length] == b"\n"
        entry = entry[9 + length :]


async def test_without_a_journal_the_log_has_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where there is no journal the daemon's own log says it, as a warning."""
    assert not journal.write("x", {}, path=tmp_path / "nowhere")
    monkeypatch.setattr(journal.write, "__kwdefaults__", {"path": tmp_path / "nowhere"})
    assert not await error_of(Journal(message="{role}: {reason}"))
    assert ("imds.daemon.notifying", 30, f"admin: {HARMLESS}") in caplog.record_tuples


# all of them


async def test_channels_are_told_at_once(hook: Hook) -> None:
    """They take as long as the slowest, their order stays, and only what is not optional counts as failed."""
    hook.status = 500
    slow = Command(command=("sleep", "60"), timeout=SECOND)
    channels = [slow, Command(command=("sleep", "60"), timeout=SECOND, optional=True), Webhook(url=hook.url), Journal()]
    told, began = notifying(), monotonic()
    outcomes = await told.tell(channels, notice())
    assert monotonic() - began < 1.9
    assert [outcome.ok for outcome in outcomes] == [False, False, False, True]
    assert [outcome.channel for outcome in failed(outcomes)] == ["command sleep", f"webhook {hook.place}"]
    assert [outcome.took >= SECOND for outcome in outcomes] == [True, True, False, False]
    assert told.counts == {("command", False): 2, ("webhook", False): 1, ("journal", True): 1}


async def test_what_is_remembered() -> None:
    """The last twenty notices are remembered, and of each channel the last outcome."""
    told = notifying()
    for number in range(22):
        await told.tell([Journal()], notice(id=str(number)))
    await told.tell([], notice(id="last"))
    remembered = told.to_json()
    assert [one["id"] for one in remembered["notices"]] == ["last", *(str(number) for number in range(21, 2, -1))]
    assert remembered["notices"][0]["outcomes"] == []
    assert [(one["channel"], one["delivered"]) for one in remembered["channels"]] == [("journal", True)]


async def test_channel_that_is_none_any_more() -> None:
    """A reload forgets the failure of a channel that it has taken away."""
    told, gone_channel = notifying(), Command(command=("/nowhere/notify",))
    await told.tell([Journal(), gone_channel], notice())
    told.after_reload((Journal(),))
    assert [one["channel"] for one in told.to_json()["channels"]] == ["journal"]


async def test_unexpected_failure_of_a_channel_is_its_own() -> None:
    """A mistake of ours in one channel keeps nobody else from being told, and repeats nothing."""
    outcomes = await notifying().tell([Command(command=("a\0neverlogthis",)), Journal()], notice())
    assert [outcome.error for outcome in outcomes] == ["unexpected ValueError", ""]
    assert failed(outcomes) == outcomes[:1]
