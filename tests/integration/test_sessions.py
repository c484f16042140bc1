"""What one daemon leaves and the next one serves: the daemon in this process, an STS that answers, a file."""

# ruff: noqa: ASYNC240 - these tests may wait for their own files

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from time import monotonic

import pytest
from support.daemon import write_config, write_profile
from support.fakes import KNOWN_SECRETS
from support.sts import StandInSts, error

from imds.config import loading
from imds.core.errors import ConfigError, RequestError
from imds.daemon import Daemon
from imds.daemon.surroundings import Surroundings
from imds.host.session_places import Surroundings as PlaceSurroundings
from imds.host.session_places.choosing import choose
from imds.host.systemd import Notifier

CONFIG = """\
region: eu-west-1
listen: ["http://127.0.0.1:0"]
audit_log: none
{more}
roles:
  app: {{role_arn: "arn:aws:iam::111122223333:role/app", source: {{profile: work}}}}
  audited: {{role_arn: "arn:aws:iam::444455556666:role/audited", source: {{role: app}}}}
"""
FILE = "persist_sessions: file"
Serve = Callable[..., AbstractAsyncContextManager[Daemon]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The file that sessions are kept in."""
    return tmp_path / "state" / "sessions"


@pytest.fixture
def serve(profiles: Path, sts: StandInSts, state: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Return a daemon whose roles have been tried; each is the successor of the one before."""
    write_profile(profiles)
    write_profile(profiles, "other")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)

    @asynccontextmanager
    async def start(more: str = FILE, config: str = CONFIG, **environment: str) -> AsyncIterator[Daemon]:
        file = write_config(profiles / "imds.yaml", config.format(more=more))
        daemon = Daemon(
            load=partial(loading.load, file, variables={"user": "me", "host": "here", "pid": "7"}, uid=os.getuid()),
            surroundings=Surroundings(
                environment=dict(os.environ) | environment,
                state_directory=state.parent,
                control_socket=None,
                uid=os.getuid(),
            ),
        )
        running = asyncio.create_task(daemon.run())
        try:
            await until(lambda: running.done() or tried(daemon))
            yield daemon
        finally:
            daemon.stop()
            await running

    return start


def tried(daemon: Daemon) -> bool:
    """Whether every role was tried, and is scheduled."""
    states = [daemon.store.state(role) for role in daemon.config.roles]
    return all(state is not None and state.tried.is_set() and state.next_attempt is not None for state in states)


async def until(look: Callable[[], object]) -> None:
    """Let the daemon go on until ``look`` says so."""
    deadline = monotonic() + 20
    while not look():
        assert monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.01)


def keys(daemon: Daemon) -> dict[str, str]:
    """Return the access key id that each role serves."""
    found = {}
    for role in daemon.config.roles:
        try:
            found[role] = daemon.store.credentials(role).access_key_id
        except RequestError:
            continue
    return found


def kept_roles(state: Path) -> set[str]:
    """Return the roles that the file has a session of."""
    return {session["role"] for session in json.loads(state.read_bytes())["sessions"]} if state.exists() else set()


async def test_the_same_sessions_on_the_same_plan(serve: Serve, sts: StandInSts) -> None:
    """Nothing is asked of AWS, and renewals are due when they would have been, but for the chance in it."""
    async with serve() as first:
        before = keys(first)
        due = {role: first.store.state(role).next_attempt for role in before}
    calls = len(sts.calls)
    async with serve() as second:
        assert keys(second) == before
        assert set(second.sessions.restored) == set(before)
        for role in before:
            assert abs(second.store.state(role).next_attempt - due[role]) < timedelta(minutes=3)
    assert len(sts.calls) == calls


async def test_generations(serve: Serve, sts: StandInSts, profiles: Path) -> None:
    """Restored sessions are kept again as they were; what is renewed later takes their place."""
    async with serve() as first:
        before = keys(first)
    calls = len(sts.calls)
    for _ in range(3):
        async with serve() as daemon:
            assert keys(daemon) == before
    assert len(sts.calls) == calls
    async with serve() as daemon:
        await daemon.keepers.refresh(["app"], 20)
        renewed = keys(daemon)
    assert renewed["app"] != before["app"]
    async with serve() as daemon:
        assert keys(daemon) == renewed


async def test_generations_after_a_reboot(serve: Serve, sts: StandInSts, state: Path) -> None:
    """What another boot left is kept again by the clocks of this one, also while AWS is away."""
    async with serve() as first:
        before = keys(first)
    value = json.loads(state.read_bytes())
    for session in value["sessions"]:
        session["kept"] |= {"boot": "another", "elapsed": 9e6}
        session["elapsed_at_issue"] = 9e6 - 60
    state.write_text(json.dumps(value))
    sts.behaviour = error("InternalFailure", status=500)
    for _ in range(2):
        async with serve() as daemon:
            assert keys(daemon) == before
            lived = daemon.clock.elapsed() - daemon.store.state("app").elapsed_at_issue
            assert timedelta(seconds=60) <= lived < timedelta(seconds=90)


async def test_ready_means_kept(serve: Serve, state: Path) -> None:
    """From READY on a kill loses nothing."""
    async with serve() as daemon:
        await daemon.ready.wait()
        assert kept_roles(state) == {"app", "audited"}


@pytest.mark.parametrize(
    ("old", "new", "left"),
    [
        ("role/audited", "role/other", {"app"}),
        ("role/app", "role/other", set()),
        ("profile: work", "profile: other", set()),
        ("eu-west-1", "eu-west-3", set()),
        ("work}}}}", "work}}, external_id: partner}}", set()),
        ("work}}}}", "work}}, duration: 2h}}", set()),
    ],
)
async def test_a_changed_configuration_has_no_old_session(
    serve: Serve, sts: StandInSts, old: str, new: str, left: set[str]
) -> None:
    """Only roles whose whole chain is unchanged keep theirs; the others are never served the old one."""
    async with serve() as first:
        before = keys(first)
    sts.behaviour = error("AccessDenied", status=403)  # whatever is served now is of before
    assert old in CONFIG
    async with serve(config=CONFIG.replace(old, new)) as second:
        assert keys(second) == {name: key for name, key in before.items() if name in left}
        assert set(second.sessions.restored) == left


async def test_a_reload_before_botocore_is_there_takes_back(serve: Serve, sts: StandInSts, profiles: Path) -> None:
    """A restored session of a role that is changed in the first second is served no longer."""
    async with serve() as first:
        before = keys(first)
    sts.behaviour = error("AccessDenied", status=403)
    async with serve() as second:
        assert keys(second) == before
        text = CONFIG.format(more=FILE).replace("role/audited", "role/other")
        write_config(profiles / "imds.yaml", text)
        await second.reload()
        assert keys(second) == {"app": before["app"]}


async def test_another_environment_is_another_configuration(serve: Serve, sts: StandInSts) -> None:
    """Other variables of AWS's lead elsewhere; what else is in the environment does not matter."""
    async with serve() as first:
        before = keys(first)
    async with serve(INVOCATION_ID="other") as second:
        assert keys(second) == before
    async with serve(AWS_ACCESS_KEY_ID="AKIAOTHER") as third:
        assert third.sessions.restored == ()


async def test_changed_files_mean_new_sessions_at_once(serve: Serve, sts: StandInSts, profiles: Path) -> None:
    """The profile was edited meanwhile: the old session is served until the new one is there, which is now."""
    async with serve() as first:
        before = keys(first)
    with (profiles / ".aws" / "config").open("a") as file:
        file.write("# another word\n")
    async with serve() as second:
        assert set(second.sessions.restored) == {"app", "audited"}
        await until(lambda: not set(keys(second).values()) & set(before.values()))
        after = keys(second)
    (profiles / ".aws" / "config").touch()
    calls = len(sts.calls)
    async with serve() as third:
        assert keys(third) == after
    assert len(sts.calls) == calls


async def test_away_while_aws_is_too(serve: Serve, sts: StandInSts, profiles: Path) -> None:
    """A renewal that is due at the start and fails leaves the restored session where it is."""
    async with serve() as first:
        before = keys(first)
    (profiles / ".aws" / "config").write_text("[profile work]\n")
    sts.behaviour = error("InternalFailure", status=500)
    async with serve() as second:
        await until(lambda: second.store.state("app").failure)
        assert keys(second) == before


async def test_what_is_overdue_is_renewed_at_once(serve: Serve, sts: StandInSts, state: Path) -> None:
    """Away beyond the half of a session's life: served, and renewed now."""
    async with serve() as first:
        before = keys(first)
    value = json.loads(state.read_bytes())
    for session in value["sessions"]:  # forty minutes ago
        session["elapsed_at_issue"] -= 2400
        for end in ("last_updated", "expiration"):
            moment = session["credentials"][end]
            session["credentials"][end] = (datetime.fromisoformat(moment) - timedelta(minutes=40)).isoformat()
    state.write_text(json.dumps(value))
    async with serve() as second:
        assert set(second.sessions.restored) == {"app", "audited"}
        await until(lambda: not set(keys(second).values()) & set(before.values()))


@pytest.mark.parametrize("boot", ["another", None])
async def test_after_a_reboot_they_are_served_and_renewed(serve: Serve, state: Path, boot: str | None) -> None:
    """The wall clock alone says how long they have lived, so new ones are fetched at once."""
    async with serve() as first:
        before = keys(first)
    value = json.loads(state.read_bytes())
    for session in value["sessions"]:
        session["kept"]["boot"] = boot
    state.write_text(json.dumps(value))
    async with serve() as second:
        assert set(second.sessions.restored) == {"app", "audited"}
        await until(lambda: not set(keys(second).values()) & set(before.values()))


async def test_a_role_that_is_removed_is_kept_no_longer(serve: Serve, state: Path, profiles: Path) -> None:
    """A reload that takes a role away takes it out of the file, too."""
    async with serve() as daemon:
        await until(lambda: kept_roles(state) == {"app", "audited"})
        text = CONFIG.format(more=FILE)
        (profiles / "imds.yaml").write_text(text[: text.index("  audited")])
        await daemon.reload()
        await until(lambda: kept_roles(state) == {"app"})


async def test_what_has_expired_is_kept_no_longer(serve: Serve, sts: StandInSts, state: Path) -> None:
    """The next daemon throws away what it cannot serve, also where nothing new comes."""
    sts.lifetime = timedelta(seconds=2)
    async with serve():
        await until(lambda: kept_roles(state))
    sts.behaviour = error("AccessDenied", status=403)
    await asyncio.sleep(2)  # AWS's clock
    async with serve() as second:
        assert second.sessions.restored == ()
        await until(lambda: kept_roles(state) == set())


@pytest.mark.parametrize(
    "content", ["", "x", "[]", '{"version":1,"sessions":[{}]}', '{"version":1,"sessions":[{"role"']
)
async def test_damage_is_told_and_mended(
    serve: Serve, state: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The daemon starts as if there had been nothing, says so, and the next one has its sessions."""
    state.parent.mkdir(mode=0o700)
    state.write_text(content)
    state.chmod(0o600)
    async with serve() as first:
        before = keys(first)
        assert first.sessions.restored == ()
    assert any("lost" in record.getMessage() for record in caplog.records) is bool(content)
    async with serve() as second:
        assert keys(second) == before


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (FILE, "chmod 600 it"),
        ("persist_sessions: fd_store", "FileDescriptorStoreMax=4 in the unit"),
        ("persist_sessions: os_keyring", "there is no keyring here"),
        (FILE + "\npersist_key_file: /nowhere/key", "openssl rand -base64 32"),
    ],
)
async def test_a_place_that_is_forced_and_cannot_be_used_ends_the_start(
    serve: Serve, state: Path, more: str, why: str
) -> None:
    """A mistake of the configuration, under its key."""
    state.parent.mkdir(mode=0o700)
    state.write_text("x")
    state.chmod(0o640)
    with pytest.raises(ConfigError, match="persist_sessions: cannot be used:") as caught:
        async with serve(more):
            pass
    assert why in str(caught.value)


async def test_a_list_falls_through_with_one_warning(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The first that can be used is, and why the others are not is said once."""
    async with serve("persist_sessions: [fd_store, os_keyring, file]") as daemon:
        assert daemon.sessions.kept_in == "file"
    (told,) = [record for record in caplog.records if "sessions are kept in" in record.getMessage()]
    assert told.levelname == "WARNING"
    assert "file (fd_store: systemd keeps no descriptors" in told.getMessage()
    assert "os_keyring: there is no keyring here" in told.getMessage()


@pytest.mark.parametrize("more", ["", "persist_sessions: none", "persist_sessions: [fd_store, none]"])
async def test_without_a_place_nothing_is_kept(serve: Serve, state: Path, more: str) -> None:
    """Which is the default where no systemd keeps descriptors; a file of before goes."""
    async with serve():
        pass
    assert state.exists()
    async with serve(more) as daemon:
        assert (daemon.sessions.kept_in, daemon.sessions.restored) == (None, ())
    files = [path.read_text(errors="replace") for path in state.parent.rglob("*") if path.is_file()]
    assert not state.exists()
    assert not any(secret in text for secret in KNOWN_SECRETS for text in files)


async def test_a_disk_that_fails_fails_no_refresh(
    serve: Serve, state: Path, profiles: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be kept is told once; everything is served."""
    async with serve() as daemon:
        await until(lambda: len(kept_roles(state)) == 2)
        shutil.rmtree(state.parent)
        state.parent.write_text("in the way")
        for name in ("other", "third"):
            text = CONFIG.format(more=FILE).replace("role/audited", f"role/{name}")
            write_config(profiles / "imds.yaml", text)
            await daemon.reload()
            await until(lambda: set(keys(daemon)) == {"app", "audited"})
            await until(lambda: "sessions cannot be kept in file" in caplog.text)
            assert caplog.text.count("sessions cannot be kept in file") == 1


async def test_reload_tells_that_the_place_needs_a_restart(serve: Serve, profiles: Path) -> None:
    """``persist_sessions`` is decided at the start."""
    async with serve() as daemon:
        write_config(profiles / "imds.yaml", CONFIG.format(more="persist_sessions: none"))
        assert await daemon.reload() == ["persist_sessions"]


async def test_in_an_encrypted_file(serve: Serve, state: Path, profiles: Path) -> None:
    """The file has no secret in it; without its key it is nothing."""
    key = profiles / "key"
    key.write_bytes(os.urandom(33))
    key.chmod(0o600)
    more = f"{FILE}\npersist_key_file: {key}"
    async with serve(more) as first:
        before = keys(first)
    assert not any(secret.encode() in state.read_bytes() for secret in KNOWN_SECRETS)
    async with serve(more) as second:
        assert keys(second) == before
    async with serve() as third:
        assert third.sessions.restored == ()


async def test_in_the_kernels_keyring(serve: Serve, state: Path) -> None:
    """A key for each role; the disk has nothing."""
    around = PlaceSurroundings(
        directory=state.parent, environment={}, notifier=Notifier({}), stored={}, key_file=None, insisted=True
    )
    kept = choose(("kernel_keyring",), around)
    if kept.place is None:
        pytest.skip(f"no keyring here: {kept.refused[0]}")
    try:
        async with serve("persist_sessions: kernel_keyring") as first:
            before = keys(first)
        async with serve("persist_sessions: kernel_keyring") as second:
            assert keys(second) == before
            assert second.sessions.kept_in == "kernel_keyring"
        assert not state.exists()
    finally:
        first.sessions._place.clear()
