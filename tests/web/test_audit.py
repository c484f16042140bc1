"""One line for each set of credentials given and each refusal; a line that is taken out shows; no secret is in any."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import wire
from support.answering import CONFIG, start
from support.daemon import clean_environment
from support.fakes import KNOWN_SECRETS
from support.machine import eventually
from support.users import acting_as

LIST = "/latest/meta-data/iam/security-credentials/"
BOTO = (
    "import os, sys; os.environ['AWS_EC2_METADATA_SERVICE_ENDPOINT'] = sys.argv[1]; import boto3; "
    "print(boto3.Session().get_credentials().access_key)"
)


def log_of(daemon) -> Path:
    """Return the audit log's path, as the daemon says."""
    return Path(daemon.status()["audit"]["path"])


def lines_of(daemon, number: int) -> list[dict]:
    """Return the log's lines, once there are so many."""
    path = log_of(daemon)
    return [json.loads(line) for line in eventually(lambda: _enough(path, number))]


def _enough(path: Path, number: int) -> list[bytes] | None:
    lines = path.read_bytes().splitlines()
    return lines if len(lines) >= number else None


@pytest.fixture
def daemon(tmp_path, moto_server):
    """A daemon of its own."""
    with start(tmp_path, moto_server, CONFIG.format(mode="optional")) as running:
        yield running


def test_a_real_client_is_on_record(daemon, tmp_path):
    """boto3's fetch is one line: who it was, down to the process and its parents, what it got, and by which rule."""
    home = tmp_path / "client"
    home.mkdir()
    done = subprocess.run(
        ["sh", "-c", '"$0" -c "$1" "$2"; true', sys.executable, BOTO, daemon.url],
        env=clean_environment(home),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    (line,) = lines_of(daemon, 1)
    assert line["decision"] == "given"
    assert (line["role"], line["access_key"], line["instance"]) == ("app", done.stdout.strip()[-4:], "default")
    assert line["because"] == "rule 1 (the daemon's own user)"
    assert (line["uid"], line["address"]) == (os.getuid(), "127.0.0.1")
    assert line["role_session_name"].partition("-")[0] == line["user"]
    assert line["request"] == f"GET {LIST}app"
    assert Path(line["exe"]).name.startswith("python")
    assert any(Path(one).name in ("sh", "dash", "bash") for one in line["ancestors"])
    shown = daemon.imds("audit").stdout
    assert f"app (…{line['access_key']}) to {line['user']}" in shown


def test_container_credentials_are_on_record(daemon):
    """The other endpoint's too; the token that opened it is not."""
    lines = daemon.imds("env", "app", "--shell", "dotenv").stdout.splitlines()
    variables = dict(line.split("=", 1) for line in lines if line.startswith("AWS_CONTAINER"))
    secret = variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    KNOWN_SECRETS.append(secret)
    path = "/v2/" + variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"].partition("/v2/")[2]
    wire.exchange(daemon.address, wire.request("GET", path, {"Authorization": secret, "Connection": "close"}))
    (line,) = lines_of(daemon, 1)
    assert (line["role"], line["decision"]) == ("app", "given")
    assert secret not in log_of(daemon).read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as other users")
def test_refusals_are_on_record(daemon):
    """A refusal says whom and why; the same one again and again is counted, so that nobody fills the disk."""
    address = daemon.address
    with acting_as(54321):
        for _ in range(200):
            assert wire.get(address, LIST, token="").status == 403
    assert wire.get(address, LIST + "app", token=None).status == 200
    lines = lines_of(daemon, 2)
    refused = [line for line in lines if line["decision"] == "refused"]
    assert (refused[0]["uid"], refused[0]["because"]) == (54321, "no rule matches")
    assert "role" not in refused[0]
    assert len(lines) < 20


def test_a_refused_caller_cannot_fill_the_disk(daemon):
    """Refusals that differ in what the client sent are few lines too."""
    address = daemon.address
    for number in range(300):
        request = wire.request("GET", LIST, {"Connection": "close"}, host=f"evil-{number}.example")
        assert wire.exchange(address, request).status == 403
    wire.get(address, LIST + "app", token=None)
    eventually(lambda: [line for line in _read(log_of(daemon)) if line["decision"] == "given"])
    assert 20 <= len(_read(log_of(daemon))) < 100


def test_what_a_caller_chooses_cannot_break_a_line(daemon):
    """Control characters and endless paths in a request are neither lines of their own nor a line without end."""
    nasty = "/latest/meta-data/iam/security-credentials/app%0a%7b%22decision%22" + "x" * 3000
    request = f"GET {nasty} HTTP/1.1\r\nHost: evil.example\r\n\r\n".encode()
    assert wire.exchange(daemon.address, request).status == 403
    (line,) = lines_of(daemon, 1)
    assert len(line["request"]) < 300
    assert "evil.example" in line["because"]


@pytest.mark.parametrize(
    "target",
    [
        "http://user:pa55word@aws.example/x?X-Amz-Security-Token=SECRET",
        "//user:pa55word@aws.example/",
        "/latest/meta-data/?token=SECRET",
        "/v2/credentials/5ec4e7aa-SECRET",
    ],
)
def test_a_secret_in_a_request_is_not_on_record(daemon, target):
    """What a client sends by mistake, such as a proxy's password, is nobody's to keep."""
    KNOWN_SECRETS.extend(["pa55word", "5ec4e7aa-SECRET"])
    request = f"GET {target} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode()
    assert wire.exchange(daemon.address, request).status in (400, 403)
    (line,) = lines_of(daemon, 1)
    assert "SECRET" not in json.dumps(line)
    assert "pa55" not in json.dumps(line)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a small disk")
def test_a_full_disk_is_on_record(tmp_path, moto_server):
    """Lines that find no room are counted in the next that does, and none is half a line."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=True)
    try:
        text = CONFIG.format(mode="optional") + f"    audit_log: {disk}/audit.jsonl\n"
        with start(tmp_path, moto_server, text) as daemon:
            address = daemon.address
            filler = disk / "filler"
            filler.write_bytes(b"x" * 58_000)
            for _ in range(40):
                wire.get(address, LIST + "app", token=None)
            eventually(lambda: "audit log cannot be written" in daemon.log)
            filler.unlink()
            wire.get(address, LIST + "app", token=None)
            eventually(lambda: sum(1 + line.get("lost_before", 0) for line in _read(disk / "audit.jsonl")) == 41)
            assert daemon.imds("audit", "--verify").returncode == 0
    finally:
        subprocess.run(["umount", disk], check=True)


def _read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_line_that_is_removed_or_changed_shows(daemon):
    """Each line holds the digest of the one before; the daemon knows the last."""
    for _ in range(4):
        wire.get(daemon.address, LIST + "app", token=None)
    lines_of(daemon, 4)
    path = log_of(daemon)
    whole = path.read_bytes().splitlines(keepends=True)
    assert daemon.imds("audit", "--verify").stdout == "4 lines, each follows the one before it\n"
    forged = {
        "removed": whole[:1] + whole[2:],
        "changed": [whole[0], whole[1].replace(b'"given"', b'"taken"'), *whole[2:]],
        "the last removed": whole[:-1],
        "swapped": [whole[1], whole[0], *whole[2:]],
        "added": [*whole[:2], b'{"decision":"given"}\n', *whole[2:]],
    }
    for what, lines in forged.items():
        path.write_bytes(b"".join(lines))
        done = daemon.imds("audit", "--verify", check=False)
        assert (done.returncode, done.stdout) == (1, ""), what
        assert "line" in done.stderr, what
    path.write_bytes(b"".join(whole))
    assert daemon.imds("audit", "--verify").returncode == 0


def test_rotation_and_restart_keep_the_chain(tmp_path, moto_server):
    """A log that is moved away is begun anew, and follows the old one; so does a daemon that is started again."""
    for _ in range(2):
        with start(tmp_path, moto_server, CONFIG.format(mode="optional")) as daemon:
            path = log_of(daemon)
            assert path.stat().st_mode & 0o777 == 0o600
            wire.get(daemon.address, LIST + "app", token=None)
            before = len(path.read_bytes().splitlines())
            eventually(lambda: _enough(path, max(before, 1)))  # noqa: B023 - called at once
    with start(tmp_path, moto_server, CONFIG.format(mode="optional")) as daemon:
        old = path.with_name("audit.jsonl.1")
        path.rename(old)
        wire.get(daemon.address, LIST + "app", token=None)
        eventually(path.exists)
        lines_of(daemon, 1)
        assert daemon.imds("audit", "--verify", str(old), str(path)).stdout.startswith("3 lines")


def test_following_across_rotations(daemon):
    """Whoever follows the log sees each line once, whichever file it came to be in."""
    address, path = daemon.address, log_of(daemon)
    command = [sys.executable, "-m", "imds", "audit", "--follow", "--json"]
    wire.get(address, LIST + "app", token=None)
    lines_of(daemon, 1)
    with subprocess.Popen(command, env=daemon.environment, stdout=subprocess.PIPE, text=True) as follower:
        try:
            seen = [follower.stdout.readline()]
            for number in range(3):
                path.rename(path.with_name(f"audit.jsonl.{number}"))
                for _ in range(5):
                    wire.get(address, LIST + "app", token=None)
                seen += [follower.stdout.readline() for _ in range(5)]
        finally:
            follower.terminate()
    previous = [json.loads(line)["previous"] for line in seen]
    assert len(set(previous)) == 16


@pytest.mark.parametrize("spoil", ["mode", "link", "folder"])
def test_a_log_that_cannot_be_trusted(tmp_path, moto_server, spoil):
    """A log that others may use, or that is no plain file, is refused at the start with what to do."""
    with start(tmp_path, moto_server, CONFIG.format(mode="optional")) as daemon:
        path = log_of(daemon)
    if spoil == "mode":
        path.chmod(0o644)
    else:
        path.unlink()
        path.mkdir() if spoil == "folder" else path.symlink_to(tmp_path / "elsewhere")
    done = start(tmp_path, moto_server, CONFIG.format(mode="optional"), ready=False)
    with done:
        assert done.process.wait(30) == 78
        assert "audit_log" in done.log


def test_no_audit(tmp_path, moto_server):
    """``audit_log: none`` keeps none; another place is used as written."""
    with start(tmp_path, moto_server, CONFIG.format(mode="optional") + "    audit_log: none\n") as daemon:
        assert daemon.status()["audit"] is None
        assert wire.get(daemon.address, LIST + "app", token=None).status == 200
    place = tmp_path / "elsewhere" / "log.jsonl"
    text = CONFIG.format(mode="optional") + f"    audit_log: {place}\n    audit_fsync: line\n"
    with start(tmp_path, moto_server, text) as daemon:
        wire.get(daemon.address, LIST + "app", token=None)
        lines_of(daemon, 1)
    assert place.exists()


def test_the_last_refusals_of_a_flood_are_on_record(tmp_path, moto_server):
    """What was counted is written when the daemon stops, if nothing has followed."""
    with start(tmp_path, moto_server, CONFIG.format(mode="optional")) as daemon:
        for _ in range(30):
            wire.exchange(daemon.address, wire.request("GET", LIST, {"Origin": "http://evil.example"}))
        path = log_of(daemon)
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    refused = [line for line in lines if line["decision"] == "refused"]
    assert sum(line.get("repeated", 1) for line in refused) == 30
    assert len(refused) < 10
