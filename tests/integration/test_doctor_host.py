"""``imds doctor`` on hosts with something wrong: addresses, ports, clouds, clocks, disks, roles, containers."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from support import sts as stand_in
from support import wire
from support.daemon import DaemonProcess, write_config
from support.doctor import Shell, mended, write
from support.machine import Client, eventually
from support.namespaces import Namespace, needs_root, run
from support.users import acting_as

from imds.cli.checks.contact import Contact, reach
from imds.cli.checks.containers import engine_unreachable
from imds.cli.checks.daemon import no_daemon
from imds.cli.checks.files import control_socket
from imds.cli.checks.situation import Situation
from imds.host.interfaces import has_address

CONFIG = """\
    region: eu-west-1
    roles:
      app: {role_arn: "arn:aws:iam::111122223333:role/app", source: {profile: work}}
"""
LOOPBACK = 'listen: ["http://127.0.0.1:0"]\n'
EC2 = "169.254.169.254"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - as programs do that take the port
DENIED = (
    "User: arn:aws:iam::111122223333:user/me is not authorized to perform: sts:AssumeRole on resource: "
    "arn:aws:iam::111122223333:role/app"
)
RECORDER = """\
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_PUT(self):
        open(sys.argv[3], "a").write("asked\\n")
        self.send_error(404)
    do_GET = do_PUT
    def log_message(self, *_): pass
http.server.HTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""


def daemon_of(home: Path, sts, text: str = CONFIG, **options) -> DaemonProcess:
    """Return a daemon with a configuration."""
    config = write_config(home / "imds.yaml", text)
    environment = {"AWS_ENDPOINT_URL_STS": sts.url, **options.pop("environment", {})}
    return DaemonProcess(home, "serve", "--config", str(config), environment=environment, **options)


def shell_of(daemon: DaemonProcess, **variables: str) -> Shell:
    """Return a shell beside a daemon."""
    kept = {name: text for name, text in daemon.environment.items() if name != "AWS_ENDPOINT_URL_STS"}
    return Shell(kept | variables, daemon._prefix)


@contextmanager
def program(folder: Path, namespace: Namespace, host: str, port: int):
    """Another program that listens; yields its process, and the file in which it writes that it was asked."""
    script, asked = write(folder / "other.py", RECORDER), folder / "asked"
    command = [*namespace.prefix, sys.executable, script, host, str(port), asked]
    other = subprocess.Popen(command)
    try:
        eventually(lambda: namespace.call(_connects, host, port))
        yield other, asked
    finally:
        other.kill()
        other.wait()


def _connects(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((EC2 if host == EVERYWHERE else host, port)) == 0


@needs_root
def test_the_address(home, namespace, sts_in):
    """A host without the address, and a daemon that began before it was there; clients can be pointed elsewhere."""
    run("ip", "-n", namespace.name, "address", "delete", f"{EC2}/32", "dev", "lo")
    assert not namespace.call(has_address, EC2)
    assert namespace.call(has_address, "fd00:ec2::254")
    with sts_in(namespace) as sts, daemon_of(home, sts, prefix=namespace.prefix) as served:
        shell = shell_of(served)
        found = shell.doctor()
        assert found.keys() == {"address-missing"}
        assert found["address-missing"]["fix"] == "export AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:9254/"
        assert shell.paste(found["address-missing"]["fix"]).doctor() == {}
        run("ip", "-n", namespace.name, "address", "add", f"{EC2}/32", "dev", "lo")
        assert mended(shell, "address-unused", where=f"{EC2}:80", what="when it began") == {}
        six = Shell(shell.environment | {"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv6"}, shell.prefix)
        assert mended(six, "address-unused", where="fd00:ec2::254:80") == {}
    with sts_in(namespace) as sts, daemon_of(home, sts, prefix=namespace.prefix) as served:
        shell = shell_of(served)
        assert shell.doctor() == {}, "started anew it has the address"
        assert "they look at http://169.254.169.254 and find role app" in shell.told()
        shell.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"] = "IPv6"
        assert mended(shell, "endpoint-mode", where="ENDPOINT_MODE", what=f"listens at {EC2} only") == {}


@needs_root
@pytest.mark.parametrize("host", [EVERYWHERE, EC2])
def test_the_port_is_taken(home, namespace, sts_in, tmp_path, host):
    """A program that has port 80 is named, with a line that leads clients around it."""
    with (
        program(tmp_path, namespace, host, 80) as (other, _),
        sts_in(namespace) as sts,
        daemon_of(home, sts, prefix=namespace.prefix) as served,
    ):
        assert mended(shell_of(served), "port-taken", where=f"{EC2}:80", what=f"(pid {other.pid})") == {}


@needs_root
@pytest.mark.skipif(shutil.which("nft") is None, reason="needs nft")
def test_someone_answers_before_us(home, namespace, sts_in, tmp_path):
    """Where a firewall's rule leads clients away, as a port that Docker publishes does, it is told that we listen."""
    rule = (
        "add table ip away; add chain ip away out { type nat hook output priority -100; }; "
        f"add rule ip away out ip daddr {EC2} tcp dport 80 dnat to 127.0.0.1:8080"
    )
    with (
        program(tmp_path, namespace, "127.0.0.1", 8080),
        sts_in(namespace) as sts,
        daemon_of(home, sts, prefix=namespace.prefix) as served,
    ):
        shell = shell_of(served)
        assert shell.doctor() == {}
        run(*namespace.prefix, "nft", rule)
        assert mended(shell, "someone-else-answers", where=f"{EC2}:80", what="HTTP 404") == {}
        run(*namespace.prefix, "nft", "delete table ip away")
        assert shell.doctor() == {}


@needs_root
def test_another_imds_is_told_apart(home, namespace, sts_in, tmp_path):
    """A daemon of the same host with another control socket, to which the clients of this one go, is called one."""
    other = tmp_path / "other"
    shutil.copytree(home, other)
    text = CONFIG + "    listen: ['http://127.0.0.1:9254']\n"
    with sts_in(namespace) as sts, daemon_of(other, sts, prefix=namespace.prefix) as first:
        with daemon_of(home, sts, text.replace("9254", "9255"), prefix=namespace.prefix) as served:
            found = shell_of(served).doctor()
            assert found.keys() == {"port-taken"}
            assert f"another imds, imds (pid {first.process.pid})" in found["port-taken"]["what"].replace(
                "python", "imds"
            )
        # without a daemon of its own the user has that of the other
        assert "no-daemon" not in shell_of(served).doctor()


CLOUDS = [
    ("EC2", "echo i-0123456789abcdef0 >/sys/class/dmi/id/board_asset_tag"),
    ("EC2", "echo Amazon EC2 >/sys/class/dmi/id/sys_vendor"),
    ("Google Cloud", "echo Google >/sys/class/dmi/id/sys_vendor"),
    ("Azure", "echo 7783-7084-3265-9085-8269-3286-77 >/sys/class/dmi/id/chassis_asset_tag"),
]


@contextmanager
def beside(namespace: Namespace, link: str = "up0"):
    """Another namespace that has EC2's address, to which the first has a route, as a cloud's machine has."""
    with Namespace("u") as other:
        peer = ("type", "veth", "peer", "name", "down0", "netns", other.name)
        run("ip", "-n", namespace.name, "link", "add", link, *peer)
        for name, end, address in ((namespace.name, link, "10.77.0.1/24"), (other.name, "down0", "10.77.0.2/24")):
            run("ip", "-n", name, "address", "add", address, "dev", end)
            run("ip", "-n", name, "link", "set", end, "up")
        yield other


@needs_root
def test_a_cloud_beneath(home, namespace, sts_in, tmp_path):
    """The machine's firmware says whose it is, and its metadata service is never asked for anything."""
    run("ip", "-n", namespace.name, "address", "delete", f"{EC2}/32", "dev", "lo")
    with beside(namespace) as cloud, program(tmp_path, cloud, EC2, 80) as (_, asked):
        asked.unlink(missing_ok=True)
        run("ip", "-n", namespace.name, "route", "add", f"{EC2}/32", "via", "10.77.0.2")
        assert namespace.call(_connects, EC2, 80), "it could be asked"
        with sts_in(namespace) as sts, daemon_of(home, sts, prefix=namespace.prefix) as served:
            shell = shell_of(served)
            for name, firmware in CLOUDS:
                script = f'mount -t tmpfs t /sys/class && mkdir -p /sys/class/dmi/id && {firmware}; exec "$@"'
                shell.prefix = (*namespace.prefix, "unshare", "--mount", "sh", "-c", script, "sh")
                what = f"this is a machine of {name}"
                assert mended(shell, "other-metadata-service", where=EC2, what=what) == {}
            shell.prefix = namespace.prefix
            assert mended(shell, "address-missing", where=EC2) == {}
        assert not asked.exists()


@needs_root
def test_the_address_is_a_hop_away(home, namespace, sts_in):
    """Where the addresses are in a namespace of imds' own, behind its link, they are this host's."""
    run("ip", "-n", namespace.name, "address", "delete", f"{EC2}/32", "dev", "lo")
    text = CONFIG + (
        "    metadata_options: {http_put_response_hop_limit: 2}\n    callers:\n"
        "      - {match: {user: '@daemon'}, instance: default}\n"
        "      - {match: {network: 10.77.0.0/24}, instance: default}\n"
    )
    with (
        beside(namespace, "imds0") as own,
        sts_in(own) as sts,
        daemon_of(home, sts, text, prefix=own.prefix) as served,
    ):
        shell = shell_of(served)
        shell.prefix = namespace.prefix
        assert shell.doctor().keys() == {"address-missing"}
        run("ip", "-n", namespace.name, "route", "add", f"{EC2}/32", "via", "10.77.0.2")
        assert shell.doctor().keys() == {"address-missing"}, "by a router it may be anybody's"
        run("ip", "-n", namespace.name, "route", "replace", f"{EC2}/32", "dev", "imds0")
        assert shell.doctor() == {}


@needs_root
def test_who_is_beyond_this_host(home, namespace, sts_in):
    """Containers that no rule means are told with the rule to write, and rules that tokens do not live up to."""
    text = CONFIG + "    listen: ['http://0.0.0.0:80']\n"
    callers = "    callers:\n      - {match: {user: '@daemon'}, instance: default}\n"
    with (
        beside(namespace) as other,
        sts_in(namespace) as sts,
        daemon_of(home, sts, text + callers, prefix=namespace.prefix) as served,
    ):
        shell = shell_of(served)
        assert shell.doctor() == {}
        ask = wire.request("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, host="10.77.0.1")
        assert other.call(wire.exchange, ("10.77.0.1", 80), ask).status == 403
        found = shell.doctor()
        assert found.keys() == {"container-refused"}
        assert "at 10.77.0.2 asked 1 times" in found["container-refused"]["what"]
        rule = found["container-refused"]["fix"].splitlines()[1].replace("NAME", "default")
        write_config(home / "imds.yaml", text + callers + f"    {rule}\n")
        served.imds("reload")
        found = shell.doctor()
        assert found.keys() == {"container-hop-limit"}
        assert found["container-hop-limit"]["what"].startswith("rule 2 (network 10.77.0.2")
        option = "    metadata_options: {http_put_response_hop_limit: 2}\n"
        write_config(home / "imds.yaml", text + option + callers + f"    {rule}\n")
        served.imds("reload")
        assert shell.doctor() == {}
        assert other.call(wire.exchange, ("10.77.0.1", 80), ask).status == 200


def test_the_engine_cannot_be_asked(home, sts, tmp_path):
    """Rules for containers where the engine's socket is dead, as the daemon's user sees it."""
    text = (
        CONFIG
        + "    "
        + LOOPBACK
        + (
            "    metadata_options: {http_put_response_hop_limit: 2}\n"
            "    callers:\n      - {match: {container: {name: web}}, instance: default}\n"
            "      - {match: {user: '@daemon'}, instance: default}\n"
        )
    )
    path = tmp_path / "engine.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    with daemon_of(home, sts, text) as served:
        shell = shell_of(served, DOCKER_HOST=f"unix://{path}", AWS_EC2_METADATA_SERVICE_ENDPOINT=served.url)
        found = shell.doctor()["engine-unreachable"]
        assert found["where"] == str(path)
        assert "Connection refused" in found["what"]
        dead.listen()
        assert shell.doctor().get("engine-unreachable", {}).get("where") != str(path)
    dead.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as another user")
def test_the_engine_is_not_for_this_user():
    """An engine's socket that is closed to the daemon's user is told with the command that opens it."""
    contact = Contact(status={"callers": [{"container": True}]})
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as engine:
        Path(folder).chmod(0o755)
        path = Path(folder, "engine.sock")
        engine.bind(str(path))
        engine.listen()
        path.chmod(0o600)
        situation = Situation(environment={"DOCKER_HOST": f"unix://{path}"}, uid=65534, contact=contact)
        with acting_as(65534):
            found = [one for one in engine_unreachable(situation) if one.where == str(path)]
        assert [one.fix for one in found] == [f"sudo setfacl --modify u:nobody:rw {path}"]
        os.chown(path, 0, 65534)
        path.chmod(0o660)
        with acting_as(65534):
            (found,) = [one for one in engine_unreachable(situation) if one.where == str(path)]
        assert found.fix.startswith("sudo usermod --append --groups nogroup nobody")
        path.chmod(0o666)
        with acting_as(65534):
            assert not [one for one in engine_unreachable(situation) if one.where == str(path)]


def test_a_role_that_may_not_be_assumed(home, sts):
    """AWS's reason is told with the statement that the trust policy lacks; where no daemon runs, one trial tells it."""
    sts.behaviour = stand_in.error("AccessDenied", DENIED, status=403)
    with daemon_of(home, sts, CONFIG + "    " + LOOPBACK) as served:
        shell = shell_of(served, AWS_EC2_METADATA_SERVICE_ENDPOINT=served.url)
        found = shell.doctor()["role-unavailable"]
        assert "AccessDenied" in found["what"]
        assert DENIED in found["what"]
        statement = json.loads(found["fix"].splitlines()[1])
        assert statement["Principal"] == {"AWS": "arn:aws:iam::111122223333:user/me"}
        sts.behaviour = None
        served.imds("refresh")
        assert shell.doctor() == {}
    shell.environment |= {"AWS_ENDPOINT_URL_STS": sts.url, "IMDS_CONFIG": str(home / "imds.yaml")}
    calls = len(sts.calls)
    assert shell.doctor().keys() == {"no-daemon"}
    assert len(sts.calls) == calls, "AWS is asked where that is wanted"
    assert shell.doctor("--roles").keys() == {"no-daemon"}
    assert len(sts.calls) > calls
    sts.behaviour = stand_in.error("AccessDenied", DENIED, status=403)
    assert shell.doctor("--roles")["role-unavailable"]["severity"] == "error"


def test_a_sign_in_that_has_ended(home, sts):
    """What a person has to do is the fix."""
    config = home / ".aws" / "config"
    config.write_text(
        config.read_text() + "[profile sso]\nsso_start_url = https://x.awsapps.com/start\nsso_region = eu-west-1\n"
        "sso_account_id = 111122223333\nsso_role_name = dev\nregion = eu-west-1\n"
    )
    text = (CONFIG + "    " + LOOPBACK).replace("profile: work", "profile: sso")
    with daemon_of(home, sts, text) as served:
        found = shell_of(served, AWS_EC2_METADATA_SERVICE_ENDPOINT=served.url).doctor()["role-unavailable"]
        assert found["fix"].startswith("aws sso login --profile sso")


def test_a_wrong_clock(home, sts, clocks):
    """A clock an hour behind AWS's is told until it is right."""
    sts.ahead = timedelta(hours=1)
    served = daemon_of(home, sts, CONFIG + "    " + LOOPBACK)
    served.environment |= clocks.environment
    with served:
        shell = shell_of(served, AWS_EC2_METADATA_SERVICE_ENDPOINT=served.url)
        found = shell.doctor()["wrong-clock"]
        assert "behind AWS's" in found["what"]
        assert found["fix"].endswith("timedatectl set-ntp true")
        clocks.step(timedelta(hours=1))
        assert "wrong-clock" not in shell.doctor()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
def test_a_full_disk(home, sts, tmp_path):
    """A record that finds no room is told, until there is room again."""
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o700)
    run("mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(disk))
    try:
        with daemon_of(home, sts, CONFIG + "    " + LOOPBACK + f"    audit_log: {disk}/audit.jsonl\n") as served:
            shell = shell_of(served, AWS_EC2_METADATA_SERVICE_ENDPOINT=served.url)
            assert shell.doctor() == {}
            (disk / "other").write_bytes(bytes(64 * 1024))
            client = Client(served)
            assert client.document().status == 200
            eventually(lambda: served.status()["audit"]["lost"])
            found = shell.doctor()["audit-log"]
            assert found["where"] == f"{disk}/audit.jsonl"
            assert "No space left on device" in found["what"] or "disk is full" in found["what"]
            (disk / "other").unlink()
            assert client.document().status == 200
            eventually(lambda: not served.status()["audit"]["failure"])
            assert shell.doctor() == {}
    finally:
        run("umount", str(disk))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as another user")
def test_a_control_socket_that_is_closed():
    """A daemon that tells this user nothing is not taken for one that is not there; one's own is to be opened."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as control:
        Path(folder).chmod(0o755)
        path = Path(folder, "control.sock")
        control.bind(str(path))
        control.listen()
        path.chmod(0o600)
        with acting_as(65534):
            contact = reach([Path(folder, "other.sock"), path])
        assert (contact.closed, contact.is_there) == (path, False)
        environment = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1/"}
        situation = Situation(environment=environment, uid=65534, contact=contact)
        assert not [*no_daemon(situation), *control_socket(situation)]
        os.chown(path, 65534, 0)
        path.chmod(0)
        (found,) = control_socket(situation)
        assert found.fix == f"chmod 700 {folder} && chmod 600 {path}"
