"""``imds doctor``: each condition made for real, found with its place, and mended by pasting what it says."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from support import wire
from support.answering import CONFIG, start
from support.daemon import clean_environment, write_config
from support.doctor import Shell, mended, write
from support.emulators import free_port
from support.fakes import KNOWN_SECRETS
from support.machine import eventually

from imds.cli.checks import CHECKS, NOT_CHECKED, name_of
from imds.host.service.files import OurFile

ROOT = Path(__file__).parents[2]
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "neverlogthissecretaccesskey"
KEYS = f"aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
OLD = """\
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen(sys.argv[1])
except urllib.error.HTTPError:
    pass
"""
BOTH = (
    OLD
    + """\
ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
urllib.request.urlopen(urllib.request.Request(sys.argv[2], method="PUT", headers=ttl)).read()
"""
)
LIST = "/latest/meta-data/iam/security-credentials/"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, moto_server):
    """A daemon that all of this user's clients shall use."""
    with start(tmp_path_factory.mktemp("doctor"), moto_server, CONFIG.format(mode="required")) as running:
        yield running


@pytest.fixture
def shell(daemon, tmp_path):
    """A shell of the daemon's user, with an ``~/.aws`` of its own, in which everything is well."""
    return shell_of(daemon, tmp_path / "home")


def shell_of(daemon, home: Path, **variables: str) -> Shell:
    """Return a shell that is pointed to a daemon."""
    environment = clean_environment(home)
    write(home / ".aws" / "config", "[default]\nregion = eu-west-1\n\n[profile work]\n" + KEYS)
    for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        environment[name] = daemon.environment[name]
    environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = daemon.url
    return Shell(environment | variables)


def test_all_is_well(shell):
    """Where nothing is wrong it says so, where clients look and what they find there, and its status is 0."""
    assert shell.doctor() == {}
    endpoint = shell.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
    assert (
        shell.told()
        == f"nothing keeps your clients from these credentials: they look at {endpoint} and find role app\n"
    )


def test_what_people_see(shell):
    """Each finding is what is wrong, where, and the fix, and the end counts them."""
    shell.environment |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_BEARER_TOKEN_BEDROCK": SECRET}
    told = shell.told()
    assert told.startswith(
        "error: keys in the environment (…MPLE) win over the metadata service in every SDK  [environment-keys]\n"
        "  where  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY\n"
        "  fix    unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY\n\n"
    )
    assert told.endswith("1 error, 1 warning\n")


VARIABLES = [
    ("environment-keys", {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": SECRET}),
    ("environment-keys", {"AMAZON_ACCESS_KEY_ID": "short"}),
    ("environment-profile", {"AWS_PROFILE": "work"}),
    ("environment-profile", {"AWS_DEFAULT_PROFILE": "work"}),
    ("missing-profile", {"AWS_PROFILE": "gone"}),
    ("web-identity-variables", {"AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_ROLE_ARN": "arn:aws:iam::1:role/x"}),
    ("container-variables", {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/x"}),
    ("container-variables", {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/v2/credentials/x"}),
    ("bearer-token", {"AWS_BEARER_TOKEN_BEDROCK": SECRET}),
    ("credential-file", {"AWS_CREDENTIAL_FILE": "/etc/aws-credential-file"}),
    ("metadata-disabled", {"AWS_EC2_METADATA_DISABLED": "True"}),
    ("endpoint-malformed", {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "127.0.0.1:9254"}),
    ("endpoint-malformed", {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "https://127.0.0.1:9254/"}),
    ("endpoint-malformed", {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:port/"}),
    ("endpoint-path", {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "{url}latest"}),
    ("endpoint-slash", {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "{bare}"}),
    ("endpoint-elsewhere", {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1/"}),
    ("endpoint-elsewhere", {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://me:{SECRET}@metadata.example:80/"}),
    ("endpoint-mode", {"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "both"}),
    ("endpoint-mode", {"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "ipv6"}),
    ("proxy", {"HTTP_PROXY": f"http://me:{SECRET}@proxy.example:3128"}),
    ("proxy", {"http_proxy": "http://proxy.example:3128", "NO_PROXY": "169.254.169.254,example.com,127.0.0.0/8"}),
    ("proxy", {"http_proxy": "http://proxy.example:3128", "NO_PROXY": "127.0.0.1", "no_proxy": "example.com"}),
    ("address-missing", {"AWS_EC2_METADATA_SERVICE_ENDPOINT": ""}),
]


@pytest.mark.parametrize(
    ("name", "variables"), VARIABLES, ids=[f"{name}-{number}" for number, (name, _) in enumerate(VARIABLES)]
)
def test_variables(daemon, shell, name, variables):
    """Each variable that stands in the way is found by its name, and the pasted line takes it out of the way."""
    url = daemon.url
    shell.environment |= {key: text.format(url=url, bare=url.rstrip("/")) for key, text in variables.items()}
    named = next(iter(variables)) if name != "address-missing" else "169.254.169.254"
    assert mended(shell, name, where=named) == {}


HARMLESS = [
    {"AWS_PROFILE": "plain"},
    {"AWS_PROFILE": "by-metadata"},
    {"AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/x"},
    {"AWS_SESSION_TOKEN": SECRET},
    {"AWS_EC2_METADATA_DISABLED": "false"},
    {"AWS_EC2_METADATA_V1_DISABLED": "true"},
    {"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv6"},
    {"HTTP_PROXY": "http://proxy.example", "NO_PROXY": "example.com, 127.0.0.1"},
    {"https_proxy": "http://proxy.example"},
    {"no_proxy": "*", "http_proxy": "http://proxy.example"},
]


@pytest.mark.parametrize("variables", HARMLESS, ids="-".join)
def test_harmless_variables(shell, tmp_path, variables):
    """What keeps no client from asking is not told."""
    config = tmp_path / "home" / ".aws" / "config"
    more = "[profile plain]\nregion = eu-west-1\n[profile by-metadata]\ncredential_source = Ec2InstanceMetadata\n"
    config.write_text(config.read_text() + more + "role_arn = arn:aws:iam::111122223333:role/x\n")
    shell.environment |= variables
    assert shell.doctor() == {}


FILES = [
    ("default-profile", ".aws/credentials", "# mine\n[default]\n" + KEYS, ":3", "access key (…MPLE)"),
    (
        "default-profile",
        ".aws/config",
        "[default]\nregion = eu-west-1\ncredential_process = p\n",
        ":3",
        "credential_process",
    ),
    ("default-profile", ".aws/config", "[profile default]\nsso_session = s\n", ":2", "sso_session"),
    ("default-profile", ".aws/config", "[default]\nrole_arn = a\nsource_profile = b\n", ":2", "role_arn"),
    ("default-profile", ".aws/config", "[default]\nlogin_session = a\n", ":2", "login_session"),
    ("default-profile", ".aws/config", "[default]\nrole_arn = a\nweb_identity_token_file = b\n", ":2", "role_arn"),
    ("boto-config", ".boto", "[Credentials]\n" + KEYS, ":2", "(…MPLE)"),
    ("metadata-disabled", ".aws/config", "[default]\n\ndisable_ec2_metadata = true\n", ":3", "not to ask"),
    ("endpoint-mode", ".aws/config", "[default]\nec2_metadata_service_endpoint_mode = ipv7\n", ":2", "'ipv7'"),
]


@pytest.mark.parametrize(
    ("name", "file", "text", "line", "what"), FILES, ids=[f"{one[0]}-{number}" for number, one in enumerate(FILES)]
)
def test_files(shell, tmp_path, name, file, text, line, what):
    """Each line of a file that stands in the way is found by its number, and the pasted line mends the file."""
    path = write(tmp_path / "home" / file, text)
    assert mended(shell, name, where=f"{file}{line}", what=what) == {}
    assert SECRET not in text or SECRET in path.read_text(), "nothing is lost"


@pytest.mark.parametrize("value", ["{bare}", "{url}x", "http://127.0.0.1:1/", "nonsense"])
def test_the_endpoint_of_a_file(daemon, shell, tmp_path, value):
    """A profile's endpoint is found wrong like the variable, and its line is written anew."""
    del shell.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
    value = value.format(url=daemon.url, bare=daemon.url.rstrip("/"))
    config = write(tmp_path / "home" / ".aws" / "config", f"[default]\nec2_metadata_service_endpoint = {value}\n")
    (found,) = shell.doctor().values()
    assert found["where"] == "~/.aws/config:2"
    assert shell.paste(found["fix"]).doctor() == {}
    assert config.read_text() == f"[default]\nec2_metadata_service_endpoint = {daemon.url}\n"


def test_a_default_profile_keeps_its_region_and_a_link_stays_one(shell, tmp_path):
    """The new name takes only the keys along, and a dot file that is a link is changed where it is."""
    home = tmp_path / "home"
    real = write(
        tmp_path / "dotfiles" / "config", "[default]\nregion = eu-north-1\n" + KEYS + "[profile imds-source]\n"
    )
    (home / ".aws" / "config").unlink()
    (home / ".aws" / "config").symlink_to(real)
    mended(shell, "default-profile")
    assert (home / ".aws" / "config").is_symlink()
    assert real.read_text().startswith(
        "[default]\nregion = eu-north-1\n\n[profile imds-source-2]\nregion = eu-north-1\naws_access_key_id"
    )


def test_unreadable_files_hold_nobody_up(shell, tmp_path):
    """A FIFO, a folder and bytes that are no text in the place of a file are passed by."""
    aws = tmp_path / "home" / ".aws"
    os.mkfifo(aws / "credentials")
    (tmp_path / "home" / ".boto").mkdir()
    (aws / "config").write_bytes(b"\xff\xfe[default\n=\n[profile ]\n[]\nkey\n\x00")
    assert shell.doctor() == {}


def test_inside_imds_env_and_exec(daemon, shell):
    """What imds exec and imds env lead clients to is ours; once its token has ended it stands in the way."""
    shell.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = ""
    lines = daemon.imds("env", "app", "--shell", "dotenv").stdout.splitlines()
    variables = dict(line.split("=", 1) for line in lines if line.startswith(("AWS_CONTAINER", "NO_PROXY")))
    KNOWN_SECRETS.append(variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"])
    shell.environment |= variables | {"http_proxy": "http://proxy.example"}
    assert shell.doctor() == {}
    assert "they look by the container endpoint" in shell.told()
    done = daemon.imds("exec", "app", "--", sys.executable, "-m", "imds", "doctor", check=False)
    assert done.returncode == 0, done.stdout
    alone = str(daemon.home / "no-daemon-here.sock")
    done = daemon.imds(
        "exec",
        "app",
        "--",
        sys.executable,
        "-m",
        "imds",
        "doctor",
        check=False,
        IMDS_CONTROL_SOCKET=alone,
        IMDS_CONFIG=str(daemon.home / "imds.yaml"),
    )
    assert done.returncode == 0, done.stdout
    shell.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "ended"
    found = shell.doctor()["container-token"]
    assert "401" in found["what"] or "403" in found["what"]
    assert "container-token" not in shell.paste(found["fix"]).doctor()


@contextmanager
def old_service(port: int = 0):
    """A metadata service as others are: it knows no session tokens."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_service_without_tokens(daemon, shell):
    """Clients that may not use IMDSv1 are told of what has nothing else, and who it is that answers."""
    with old_service() as port:
        shell.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = f"http://127.0.0.1:{port}/"
        shell.environment["AWS_EC2_METADATA_V1_DISABLED"] = "true"
        found = shell.doctor()
        assert found.keys() == {"v1-disabled", "endpoint-elsewhere"}
        assert f"(pid {os.getpid()})" in found["endpoint-elsewhere"]["what"]
        assert shell.paste(found["v1-disabled"]["fix"]).doctor().keys() == {"endpoint-elsewhere"}
        assert shell.paste(found["endpoint-elsewhere"]["fix"]).doctor() == {}


def test_without_a_daemon(tmp_path):
    """That none runs is said, with how to start one; that a port is taken, with by whom."""
    home = tmp_path / "home"
    home.mkdir()
    shell = Shell(clean_environment(home) | {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1/"})
    assert shell.doctor().keys() == {"no-daemon"}
    assert "no role was tried: imds doctor --roles does" in shell.told()
    with old_service() as port:
        shell.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = f"http://127.0.0.1:{port}/"
        taken = shell.doctor()["port-taken"]
    assert f"(pid {os.getpid()})" in taken["what"]
    assert taken["where"] == f"127.0.0.1:{port}"
    write_config(home / "config" / "imds" / "config.yaml", "roles:\n  app: {sauce: x}\n")
    found = shell.doctor()
    assert found["wrong-configuration"]["where"].endswith("config.yaml:2")


def test_a_program_that_has_the_port_is_ended_by_the_fix(tmp_path):
    """The pasted line ends the program that has the port."""
    home, port = tmp_path / "home", free_port()
    home.mkdir()
    other = subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)], stderr=subprocess.DEVNULL
    )
    try:
        eventually(lambda: _connects(port))
        environment = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{port}/"}
        shell = Shell(clean_environment(home) | environment)
        found = shell.doctor()["port-taken"]
        assert f"(pid {other.pid})" in found["what"]
        assert found["fix"] == f"kill {other.pid}"
        after = shell.paste(found["fix"])
        other.wait(10)
        assert "port-taken" not in after.doctor()
    finally:
        other.kill()
        other.wait()


def _connects(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def changing(tmp_path, moto_server):
    """Return a daemon whose configuration can be written anew, and a shell for it."""
    home = tmp_path / "own"
    with start(home, moto_server, CONFIG.format(mode="required")) as running:
        yield running, shell_of(running, home)


def rewrite(daemon, text: str) -> None:
    """Give the daemon another configuration."""
    write_config(daemon.home / "imds.yaml", text)
    daemon.imds("reload")


def test_rules_that_refuse_this_user(changing):
    """A user whom no rule means is told of the rule to write, and that rule is right."""
    daemon, shell = changing
    rewrite(
        daemon, CONFIG.format(mode="required") + '    callers:\n      - {match: {user: "54321"}, instance: other}\n'
    )
    found = shell.doctor()["refused-by-rules"]
    assert "imds.yaml" in found["where"] or os.geteuid() != 0
    assert found["what"].endswith("no rule matches")
    rule = next(line for line in found["fix"].splitlines() if line.startswith("  - "))
    text = CONFIG.format(mode="required") + f"    callers:\n    {rule}\n"
    write_config(daemon.home / "imds.yaml", text)
    daemon.signal(signal.SIGHUP)
    eventually(lambda: "refused-by-rules" not in shell.doctor())
    assert shell.doctor() == {}


def test_an_instance_without_a_role_or_a_service(changing):
    """An instance without a role, and one whose metadata service is off, are told."""
    daemon, shell = changing
    text = CONFIG.format(mode="required")
    rewrite(daemon, text.replace("default: {role: app, ", "default: {role: null, "))
    assert shell.doctor()["no-role"]["fix"].splitlines()[1] == "  default: {role: app}"
    rewrite(daemon, text.replace("http_tokens: required", "http_endpoint: disabled"))
    assert "endpoint-disabled" in shell.doctor()
    rewrite(daemon, text)
    assert shell.doctor() == {}


def test_a_configuration_with_mistakes_and_something_simulated(changing):
    """A reload that went wrong and events that are simulated are told; both end by what is said."""
    daemon, shell = changing
    good = (daemon.home / "imds.yaml").read_text()
    write_config(daemon.home / "imds.yaml", good + "nonsense: 1\n")
    daemon.imds("reload", check=False)
    daemon.imds("simulate", "rebalance")
    found = shell.doctor()
    assert found.keys() == {"wrong-configuration", "simulated"}
    assert "nonsense" in found["wrong-configuration"]["what"]
    assert found["simulated"]["fix"] == "imds simulate --clear"
    (daemon.home / "imds.yaml").write_text(good)
    daemon.imds(*found["simulated"]["fix"].split()[1:])
    daemon.imds("reload")
    assert shell.doctor() == {}


def test_clients_that_know_imdsv1_only(changing):
    """Who asks without a token and never for one is named with its program; who does so afterwards is not."""
    daemon, shell = changing
    script = write(daemon.home / "old-tool", OLD)
    both = write(daemon.home / "tries-both", BOTH)
    urls = (daemon.url + LIST[1:], daemon.url + "latest/api/token")
    subprocess.run([sys.executable, both, *urls], check=True)
    assert shell.doctor() == {}
    seen = re.compile(r"^old-tool \(pid \d+\) of \S+ knows IMDSv1 only: refused \d+ times")
    eventually(
        lambda: seen.search(_after(shell, [sys.executable, script, *urls]))
    )  # a busy machine may not look in time
    rewrite(daemon, CONFIG.format(mode="optional"))
    assert shell.doctor() == {}


def _after(shell: Shell, command: list[str | Path]) -> str:
    subprocess.run(command, check=True)
    return shell.doctor()["v1-only-clients"]["what"]


def test_the_memory_of_them_is_bounded(changing):
    """A flood of requests without a token is one entry, and each has its answer."""
    daemon, _ = changing
    address = daemon.address
    for _ in range(200):
        assert wire.exchange(address, wire.request("GET", LIST)).status == 401
    (entry,) = daemon.status()["turned_away"]
    assert entry["count"] == 200
    assert entry["uid"] == os.getuid()


def test_another_version(changing, tmp_path):
    """A daemon of another version than the command is told."""
    daemon, shell = changing
    assert "other-version" not in shell.doctor()
    package = tmp_path / "newer"
    package.mkdir()
    (package / "sitecustomize.py").write_text("import imds\nimds.__version__ = '99.0'\n")
    shell.environment["PYTHONPATH"] = str(package)
    found = shell.doctor()["other-version"]
    assert "99.0" in found["what"]
    assert f"kill {daemon.process.pid}" in found["fix"]


def test_few_files(tmp_path, moto_server):
    """A daemon that may open few files is told."""
    few = ("prlimit", "--nofile=300:300")
    home = tmp_path / "few"
    with start(home, moto_server, CONFIG.format(mode="required"), prefix=few) as daemon:
        found = shell_of(daemon, home).doctor()
    assert found.keys() == {"open-files"}
    assert "keeps 172 connections" in found["open-files"]["what"]


def test_private_files(daemon, shell, tmp_path):
    """A key that others may read, a link in its place, and a control socket where others may write are told."""
    shell.environment |= {"XDG_STATE_HOME": str(tmp_path / "state")}
    key = write(tmp_path / "state" / "imds" / "token.key", "x" * 32)
    key.chmod(0o644)
    mended(shell, "state-directory", where="token.key", what="mode 0644")
    key.unlink()
    key.symlink_to("/etc/hostname")
    mended(shell, "state-directory", where="token.key", what="no plain file")
    shell.environment |= {"XDG_RUNTIME_DIR": str(tmp_path / "run")}
    (tmp_path / "run" / "imds").mkdir(parents=True)
    (tmp_path / "run" / "imds").chmod(0o777)
    mended(shell, "control-directory", where="run/imds", what="others may write")


def test_units_that_start_another_program(shell, tmp_path):
    """A user's unit whose program is gone, or of another version, is told with its line, and written anew."""
    unit = tmp_path / "home" / "config" / "systemd" / "user" / "imds.service"
    write(unit, "[Service]\nType=notify\nExecStart=/opt/gone/imds serve\n")
    found = shell.doctor()["stale-unit"]
    assert found["where"].endswith("imds.service:3")
    assert "is not there" in found["what"]
    old = write(tmp_path / "venv" / "bin" / "imds", "#!/bin/sh\ntouch $0.executed\n")
    old.chmod(0o755)
    (tmp_path / "venv" / "lib" / "python3.11" / "site-packages" / "imds_server-0.0.1.dist-info").mkdir(parents=True)
    write(unit, f"[Service]\nType=notify\nExecStart=-{old} serve\n")
    found = shell.doctor()["stale-unit"]
    assert "is version 0.0.1" in found["what"]
    assert not Path(f"{old}.executed").exists(), "whoever wrote it must not have it executed by root"
    edit, _, reload = found["fix"].partition(" && ")
    assert reload.startswith("systemctl --user daemon-reload")
    assert shell.paste(edit).doctor() == {}
    OurFile(path=unit, text="[Service]\nType=notify\nExecStart=/opt/gone/imds serve\n").write()
    found = shell.doctor()["stale-unit"]
    assert found["fix"].endswith("/imds service install --user"), "the command that wrote it writes it anew"


def test_a_check_that_hangs(shell, tmp_path):
    """One check that takes too long is told as such, and the others are done."""
    package = tmp_path / "broken"
    package.mkdir()
    (package / "sitecustomize.py").write_text(
        "import time\nfrom imds.cli import checks\n\ndef stuck(situation):\n    time.sleep(60)\n    yield\n\n"
        "def mistaken(situation):\n    yield situation.nothing\n\n"
        "checks.CHECKS = (stuck, mistaken, *checks.CHECKS)\n"
    )
    shell.environment |= {"PYTHONPATH": str(package), "AWS_PROFILE": "gone"}
    told = shell.told()
    assert "the check stuck takes more than 2 s" in told
    assert "the check mistaken failed (AttributeError)" in told
    assert "missing-profile" in told


@pytest.mark.parametrize("name", [*(name_of(check) for check in CHECKS), NOT_CHECKED])
def test_the_documentation_has_every_finding(name):
    """The table of findings has each, once."""
    rows = [line for line in (ROOT / "docs" / "doctor.md").read_text().splitlines() if line.startswith("| `")]
    assert sum(row.startswith(f"| `{name}` |") for row in rows) == 1


def test_the_documentation_has_no_other_finding():
    """The table names nothing that is not there."""
    named = re.findall(r"^\| `([a-z0-9-]+)` \|", (ROOT / "docs" / "doctor.md").read_text(), flags=re.MULTILINE)
    assert set(named) == {*(name_of(check) for check in CHECKS), NOT_CHECKED}
