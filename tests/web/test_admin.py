"""Health and metrics over the wire: for programs of this host alone, and nothing secret or unbounded in them."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import pytest
from support import wire
from support.answering import start
from support.daemon import DaemonProcess, write_config
from support.machine import eventually
from support.metrics import Admin
from support.namespaces import needs_root, run
from support.users import acting_as

from imds.web import admin as admin_module

LIST = "/latest/meta-data/iam/security-credentials/"
STRANGER = 65533
CONFIG = """\
    region: eu-west-1
    listen: ["http://127.0.0.1:0"]
    admin_listen: ["http://127.0.0.1:0", "{folder}/admin.sock"]
    roles:
      app: {{role_arn: "arn:aws:iam::111122223333:role/app", source: {{profile: work}}}}
      missing: {{source: {{profile: nobody}}}}
    callers:
      - {{match: {{user: 65534}}, refuse: "nobody"}}
      - {{match: {{user: "@daemon"}}, instance: default}}
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, moto_server):
    """A daemon with a role that is ready and one that cannot be."""
    folder = tmp_path_factory.mktemp("admin")
    with start(folder, moto_server, CONFIG.format(folder=folder)) as running:
        yield running


@pytest.fixture(scope="module")
def address(daemon):
    """Where its metadata is."""
    return daemon.address


@pytest.fixture(scope="module")
def admin(daemon):
    """One that asks it."""
    return Admin(daemon)


@pytest.fixture
def path(daemon):
    """The unix socket."""
    return next(Path(place) for place in daemon.status()["admin_listen"] if place.startswith("/"))


def test_it_lives(admin):
    """Health is a word, and nobody may keep it."""
    reply = admin.get("/healthz")
    assert (reply.status, reply.body) == (200, b"ok\n")
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Server"] == "imds"


def test_readiness_of_all_and_of_each(admin):
    """One role that cannot be had makes the whole not ready; each tells for itself, and why not."""
    status, told = admin.ready()
    assert (status, told["ready"], set(told["roles"])) == (503, False, {"app", "missing"})
    status, app = admin.ready("app")
    assert (status, app["ready"]) == (200, True)
    assert 3000 < app["remaining_seconds"] <= 3600
    assert admin.ready("missing") == (
        503,
        {"ready": False, "reason": "unavailable", "action": "config", "code": "ProfileNotFound"},
    )
    assert admin.get("/readyz/nobody").status == 404


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ({"Origin": "http://localhost"}, 403),
        ({"Referer": "http://localhost/"}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, 403),
        ({"X_Forwarded_For": "127.0.0.1"}, 403),
        ({"host": "evil.example"}, 403),
        ({"host": "evil.example:80"}, 403),
        ({"host": "127.0.0.1.nip.io"}, 403),
        ({"Sec_Fetch_Mode": "cors"}, 200),
        ({"host": "127.0.0.1:9255"}, 200),
        ({"host": "[::1]"}, 200),
        ({"method": "HEAD"}, 200),
        ({"method": "POST", "Content_Length": "0"}, 405),
        ({"method": "PUT", "Content_Length": "0"}, 405),
        ({"method": "OPTIONS"}, 405),
        ({"Content_Length": "3"}, 400),
    ],
    ids=str,
)
@pytest.mark.parametrize("target", ["/healthz", "/readyz/app", "/metrics"])
def test_who_may_ask(admin, target, arguments, status):
    """Pages in browsers, proxies, rebound names and other verbs get a status, and no word of what there is."""
    reply = admin.get(target, **arguments)
    assert reply.status == status, reply.raw
    assert status == 200 or (b"imds_" not in reply.body and b"remaining" not in reply.body)
    assert "Access-Control-Allow-Origin" not in reply.headers


@pytest.mark.parametrize(
    "target", ["/", "/latest/meta-data/", "/v1/status", "/metrics/", "//metrics", "/readyz/%2e%2e"]
)
def test_nothing_else_is_there(admin, target):
    """Neither the metadata nor the control verbs are on this address."""
    assert admin.get(target).status == 404


@pytest.mark.parametrize("target", ["/healthz", "/readyz", "/metrics"])
def test_nothing_of_it_is_on_the_metadata_address(address, target):
    """What clients of the metadata reach says nothing of it."""
    reply = wire.get(address, target)
    assert reply.status == 404
    assert b"imds_" not in reply.body


def test_the_unix_socket(daemon, path):
    """It is the owner's alone, and curl reads it by any name."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    asked = ["curl", "-sS", "--unix-socket", str(path), "http://anything/readyz/app"]
    assert json.loads(subprocess.run(asked, capture_output=True, check=True, timeout=10).stdout)["ready"] is True
    marked = subprocess.run([*asked, "-H", "Origin: http://x", "-w", "%{http_code}"], capture_output=True, check=True)
    assert marked.stdout == b"refused\n403"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as another user")
def test_what_another_user_can_read(daemon, admin, path):
    """On loopback everything here, and therefore nothing that is secret; through the unix socket nothing."""
    for folder in path.parents:
        if len(folder.parts) > 2:
            folder.chmod(folder.stat().st_mode | 0o055)
    with acting_as(STRANGER):
        text = admin.text()
        with pytest.raises(PermissionError), socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
    ready = admin.get("/readyz").body.decode()
    role = json.loads(wire.get(daemon.address, LIST + "app").body)
    for secret in (role["AccessKeyId"], role["SecretAccessKey"], role["Token"], "111122223333", "arn:aws"):
        assert secret not in text + ready


def test_requests_are_counted_by_endpoint_and_status(admin, address):
    """Each answer is one, whatever was asked; a path that nobody has is no label."""
    names = {
        "list": ("imds", "200"),
        "gone": ("imds", "404"),
        "token": ("token", "200"),
        "no token": ("imds", "401"),
        "container": ("container", "401"),
        "browser": ("none", "403"),
        "nonsense": ("none", "400"),
    }
    before = admin.samples()
    token = wire.get_token(address)
    wire.get(address, LIST, token=token)
    wire.get(address, "/latest/zzz-unheard-of", token=token)
    wire.exchange(address, wire.request("GET", LIST))
    wire.exchange(address, wire.request("GET", "/v1/credentials", {"Connection": "close"}))
    wire.exchange(address, wire.request("GET", LIST, {"Origin": "http://zzz.example"}))
    wire.exchange(address, b"GET / HTTP/9.9 zzz\r\n\r\n")
    eventually(lambda: admin.value("imds_connections") == 0)
    text, after = admin.text(), admin.samples()
    for what, (endpoint, status) in names.items():
        key = "imds_requests_total", (("endpoint", endpoint), ("status", status))
        assert after[key] == before.get(key, 0) + 1, what
    assert after[("imds_connections_accepted_total", ())] - before[("imds_connections_accepted_total", ())] == 7
    assert "zzz" not in text


def test_refusals_are_counted_by_reason(admin, address):
    """Of each kind there is a word, and of a rule its number; of the caller nothing."""
    before = admin.samples()
    token = wire.get_token(address)
    for headers in ({"Origin": "x"}, {"X-Forwarded-For": "x"}, {"Host": "evil.example"}):
        raw = wire.request("GET", LIST, {"X-aws-ec2-metadata-token": token} | headers, host=None)
        assert wire.exchange(address, raw).status == 403
    wanted = {("browser", ""), ("proxy", ""), ("host", "")}
    if os.geteuid() == 0:
        for uid in (65534, STRANGER):
            with acting_as(uid):
                assert wire.exchange(address, wire.request("GET", LIST)).status == 403
        wanted |= {("rule", "1"), ("no_rule", "")}
    after = admin.samples()
    for reason, rule in wanted:
        key = "imds_refusals_total", (("reason", reason), ("rule", rule))
        assert after[key] == before.get(key, 0) + 1, reason


def test_nothing_that_a_caller_chooses_makes_a_series(admin, address):
    """After hundreds of requests, each unlike any other, there are as many series as after a few."""
    token = wire.get_token(address)

    def ask(number: int) -> None:
        wire.get(address, f"/latest/p{number}", token=token)
        wire.get(address, LIST + f"role{number}", token=token)
        wire.exchange(address, wire.request("GET", f"/{number}", {"Origin": f"http://o{number}"}))
        wire.exchange(address, wire.request("GET", "/", host=f"h{number}.example"))
        wire.exchange(address, wire.request("GET", f"/v2/credentials/{number}", {"Connection": "close"}))
        wire.exchange(address, f"M{number} /{number} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    ask(0)
    before = set(admin.samples())
    for number in range(1, 40):
        ask(number)
    assert set(admin.samples()) == before


def test_the_latency_is_of_some_connections(admin, address):
    """One connection in sixteen is timed, and from memory an answer takes less than a second."""
    token, before = wire.get_token(address), admin.value("imds_request_duration_seconds_count")
    for _ in range(32):
        wire.get(address, LIST, token=token)
    assert admin.value("imds_request_duration_seconds_count") - before == 2
    assert admin.value("imds_request_duration_seconds_bucket", le="1") == admin.value(
        "imds_request_duration_seconds_bucket", le="+Inf"
    )


def test_tokens_and_faults(daemon, admin):
    """A live container token and a simulated fault are counted while they are there."""
    before = admin.value("imds_container_tokens")
    _, minted = wire.control(daemon.control_socket, "POST", "/v1/container-tokens", '{"role": "app"}')
    daemon.imds("simulate", "fault", "unavailable", "--for", "1m")
    assert admin.value("imds_container_tokens") == before + 1
    assert admin.value("imds_simulated_faults", fault="unavailable") == 1
    wire.control(daemon.control_socket, "DELETE", f"/v1/container-tokens/{minted['id']}")
    daemon.imds("simulate", "--clear")
    assert admin.value("imds_container_tokens") == before
    assert admin.value("imds_simulated_faults", fault="unavailable") == 0


def test_audit_lines_are_counted(admin, address):
    """What is written is counted, and nothing is lost."""
    before = admin.value("imds_audit_lines_total", outcome="written")
    wire.get(address, LIST + "app")
    eventually(lambda: admin.value("imds_audit_lines_total", outcome="written") == before + 1)
    assert admin.value("imds_audit_lines_total", outcome="write_failed") == 0


def test_who_connects_and_says_nothing_takes_nobodys_place(admin, address):
    """A hundred silent connections hold a few of our files, and the next who asks is answered."""
    limit = admin.value("process_open_fds") + admin_module.MOST_CONNECTIONS + 4
    silent = [socket.create_connection(admin.address, timeout=10) for _ in range(100)]
    try:
        began = monotonic()
        assert admin.get("/healthz").status == 200
        assert monotonic() - began < 5
        assert admin.value("process_open_fds") <= limit
        assert wire.get(address, LIST).status == 200
    finally:
        for connection in silent:
            connection.close()


def test_many_who_ask_at_once_share_the_metrics(daemon, admin):
    """Whoever asks without end waits, and so takes a small part of the daemon's time; what it gets is fresh."""
    before = admin.samples()
    with ThreadPoolExecutor(16) as threads:
        texts = list(threads.map(lambda _: admin.text(), range(64)))
    after = admin.samples()
    assert len(set(texts)) < 40
    spent = [samples[("process_cpu_seconds_total", ())] for samples in (before, after)]
    assert spent[1] - spent[0] < 1.0


def test_it_is_kept_alive(admin):
    """Prometheus keeps its connection; two requests come over one."""
    with socket.create_connection(admin.address, timeout=10) as connection:
        for _ in range(2):
            connection.sendall(wire.request("GET", "/healthz"))
            received = b""
            while not received.endswith(b"ok\n"):
                received += connection.recv(4096)


def test_a_refusal_is_in_the_log(daemon, admin):
    """Why is told to the operator, on one line, and not again and again."""
    for _ in range(3):
        admin.get("/metrics", Origin="http://a\tb")
    told = [line for line in daemon.log.splitlines() if "warning: refused at admin_listen: " in line]
    assert 1 <= len(told) <= 3, "once a minute, of all the refusals before"


def test_the_library_is_loaded_when_somebody_asks(tmp_path, moto_server):
    """A daemon whose metrics nobody reads does not load it, nor does one without the address."""
    with start(tmp_path, moto_server, CONFIG.format(folder=tmp_path)) as daemon:
        admin, maps = Admin(daemon), Path(f"/proc/{daemon.process.pid}/maps")
        assert maps.exists()
        admin.ready()
        code = "import sys, imds.daemon, imds.web.admin; print('prometheus_client' in sys.modules)"
        done = subprocess.run([daemon.python, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"


def test_it_leaves_nothing_behind_and_takes_a_dead_ones_place(tmp_path, moto_server):
    """The socket's path goes with the daemon; one that a killed daemon left is taken over, a live one never."""
    path = tmp_path / "admin.sock"
    text = CONFIG.format(folder=tmp_path)
    with start(tmp_path, moto_server, text) as daemon:
        assert path.is_socket()
        other = write_config(tmp_path / "other.yaml", text)
        second = daemon.imds(
            "serve", "--config", str(other), check=False, IMDS_CONTROL_SOCKET=str(tmp_path / "other.sock")
        )
        assert second.returncode == 75
        assert "admin_listen" in second.stderr
        assert str(path) in second.stderr
        daemon.process.kill()
        daemon.process.wait()
    assert path.is_socket()
    with start(tmp_path, moto_server, text) as daemon:
        assert path.is_socket()
        assert daemon.imds("status").stdout.count("admin.sock") == 1
    assert not path.exists()


def test_a_port_that_is_taken(home):
    """It is told whose setting it is, and nothing is served half."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = f"admin_listen: http://127.0.0.1:{port}\nlisten: ['http://127.0.0.1:0']\n"
        config = write_config(home / "imds.yaml", text + "roles: {a: {source: {profile: work}}}\n")
        done = DaemonProcess(home).imds("serve", "--config", str(config), check=False)
    assert done.returncode == 75
    assert f"{port}" in done.stderr
    assert "(admin_listen)" in done.stderr


def test_a_reload_asks_for_a_restart(tmp_path, moto_server):
    """Another address is a matter for a restart, and the command says so."""
    with start(tmp_path, moto_server, CONFIG.format(folder=tmp_path)) as daemon:
        file = Path(daemon.arguments[-1])
        file.write_text(file.read_text().replace(f', "{tmp_path}/admin.sock"', ""))
        assert "restart the daemon for: admin_listen" in daemon.imds("reload").stderr
        admin = Admin(daemon)
        assert admin.value("imds_config_last_reload_successful") == 1
        file.write_text("x: 1\n")
        assert daemon.imds("reload", check=False).returncode == 78
        assert admin.value("imds_config_last_reload_successful") == 0


@needs_root
def test_a_neighbour_who_gets_a_packet_to_loopback(tmp_path, moto_server, namespace):
    """Even where the kernel is told to route to loopback addresses, another host is refused."""
    config = CONFIG.format(folder=tmp_path)
    with start(tmp_path, moto_server, config, prefix=namespace.prefix, ready=False) as daemon:
        eventually(daemon.control_socket.exists)
        admin = Admin(daemon)
        run("ip", "-n", namespace.name, "address", "add", "192.0.2.7/32", "dev", "lo")

        def ask() -> wire.Reply:
            with socket.socket() as connection:
                connection.settimeout(10)
                connection.bind(("192.0.2.7", 0))  # as if it came from there
                connection.connect(admin.address)
                connection.sendall(wire.request("GET", "/metrics", {"Connection": "close"}, host="127.0.0.1"))
                return wire.Reply(connection.makefile("rb").read())

        reply = namespace.call(ask)
    assert (reply.status, reply.body) == (403, b"refused\n")
