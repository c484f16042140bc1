"""Each process, user and container sees its own instance: real processes, real sockets, real namespaces."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support import wire
from support.daemon import DaemonProcess, clean_environment, write_config
from support.engine import StandInEngine
from support.namespaces import needs_root, run
from support.neighbourhood import Neighbourhood
from support.users import acting_as

LIST = "/latest/meta-data/iam/security-credentials/"
ROLES = "\n".join(
    f"  {name}: {{role_arn: 'arn:aws:iam::111122223333:role/{name}', source: {{profile: work}}}}"
    for name in ("own", "agent", "tool", "web", "user")
)
INSTANCES = "\n".join(f"  {name}: {{role: {name}}}" for name in ("agent", "tool", "user"))
STRANGER = 54321


def daemon(home: Path, moto_server, rules: str, *, listen: str = "http://127.0.0.1:0", **more) -> DaemonProcess:
    """Return a daemon with five roles, an instance for each, and rules."""
    config = write_config(
        home / "imds.yaml",
        f"region: eu-west-1\nlisten: {listen if listen.startswith('[') else [listen]}\nroles:\n{ROLES}\n"
        f"instances:\n{INSTANCES}\n"
        "  web: {role: web, metadata_options: {http_put_response_hop_limit: 2}}\n"
        f"callers:\n{textwrap.indent(textwrap.dedent(rules), '  ')}\n",
    )
    environment = {"AWS_ENDPOINT_URL_STS": moto_server.url} | more.pop("environment", {})
    return DaemonProcess(home, "serve", "--config", str(config), environment=environment, **more)


def role_of(served: DaemonProcess, *command: str) -> str:
    """Return the role that a program sees, whose last argument becomes the daemon's URL."""
    done = subprocess.run(
        [*command, served.url],
        env=clean_environment(served.home / "c") | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.strip() or done.stderr


CURL = (
    "token=$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $1/latest/api/token) || exit 0; "
    f'curl -sf -H "X-aws-ec2-metadata-token: $token" $1{LIST}'
)
BOTO = (
    "import os, sys; os.environ['AWS_EC2_METADATA_SERVICE_ENDPOINT'] = sys.argv[1]; import boto3; "
    "print(boto3.Session().get_credentials().access_key)"
)


def script(path: Path, text: str) -> Path:
    """Write an executable script."""
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_an_agent_and_its_owners_shell(home, moto_server, tmp_path):
    """An agent's boto3 grandchildren get the agent's role, the same program of the owner's shell the owner's."""
    rules = "- {match: {ancestor: agent-x}, instance: agent}\n- {match: {user: '@daemon'}, instance: default}"
    child = script(tmp_path / "child.sh", f'#!/bin/sh\n"$PYTHON" -c "{BOTO}" "$1"\ntrue\n')
    agent = script(tmp_path / "agent-x", f'#!/bin/sh\n{child} "$1"\ntrue\n')
    with daemon(home, moto_server, rules) as served:
        keys = {role["name"]: role["access_key_id"] for role in served.status()["roles"]}
        assert role_of(served, str(agent)) == keys["agent"]
        assert role_of(served, str(child)) == keys["own"]
        told = json.loads(served.imds("explain", "--pid", str(os.getpid()), "--json").stdout)
    assert (told["instance"], [rule["matches"] for rule in told["rules"]]) == ("default", [False, True])
    assert told["caller"]["pid"] == os.getpid()


def test_the_agent_does_not_control_the_daemon(home, moto_server, tmp_path):
    """What the control socket does for a process is what the rules give it: its own status, its own roles, no more."""
    rules = "- {match: {ancestor: agent-x}, instance: agent}\n- {match: {user: '@daemon'}, instance: default}"
    with daemon(home, moto_server, rules) as served:
        # as root everything may be controlled, so the agent's process is another user's daemon's own
        imds = '"$PYTHON" -m imds'
        agent = script(
            tmp_path / "agent-x",
            "#!/bin/sh\n"
            + "\n".join(f"{imds} {verb}" for verb in ("status --json", "reload", "explain --pid 1", "env own")),
        )
        done = subprocess.run(
            [agent], env=served.environment | {"PYTHON": sys.executable}, capture_output=True, text=True, check=False
        )
    status = json.loads(done.stdout.partition("\n}\n")[0] + "\n}")
    if os.geteuid() != 0:
        assert [role["name"] for role in status["roles"]] == ["agent"]
        assert "may not control the daemon" in done.stderr
    assert status["instance"] == "agent"
    assert "role own is not one of yours; there are: agent" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as other users")
def test_two_users_and_two_programs(home, moto_server, tmp_path):
    """Users and executables are told apart, together and each for itself."""
    tool = tmp_path / "tool"
    tool.write_bytes(Path("/usr/bin/curl").read_bytes())
    tool.chmod(0o755)
    rules = f"""\
        - {{match: {{user: {STRANGER}, exe: {tool}}}, instance: tool}}
        - {{match: {{user: {STRANGER}}}, instance: user}}
        - {{match: {{exe: curl}}, instance: agent}}
        - {{match: {{user: '@daemon'}}, instance: default}}
        """
    by_tool = CURL.replace("curl -", f"{tool} -")
    for folder in (tmp_path, *tmp_path.parents):
        if len(folder.parts) > 2 and folder.stat().st_uid == 0:
            folder.chmod(folder.stat().st_mode | 0o055)
    stranger = ("setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups")
    with daemon(home, moto_server, rules) as served:
        assert role_of(served, *stranger, "sh", "-c", by_tool, "sh") == "tool"
        assert role_of(served, *stranger, "sh", "-c", CURL, "sh") == "user"
        assert role_of(served, "sh", "-c", CURL, "sh") == "agent"
        assert role_of(served, "sh", "-c", by_tool, "sh") == "own"


def token_and_list(address: tuple[str, int]) -> bytes:
    """Return the default role of whoever runs this; what refuses is empty."""
    reply = wire.exchange(
        address, wire.request("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    )
    return wire.get(address, LIST, token=reply.body.decode()).body if reply.status == 200 else b""


FORKED = """\
import os, socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
os.set_inheritable(s.fileno(), True)
lines = ("PUT /latest/api/token HTTP/1.1", "Host: 127.0.0.1", "X-aws-ec2-metadata-token-ttl-seconds: 60", "", "")
request = r"\\r\\n".join(lines)
code = f"printf '{request}' >&{s.fileno()}; head -c 15 <&{s.fileno()}"
os.spawnl(os.P_WAIT, "/bin/bash", "bash", "-c", code)
"""


def test_a_connection_handed_to_a_child_is_its_makers(home, moto_server):
    """Whoever opens a connection and hands it to a program of another name is not taken for that program."""
    rules = "- {match: {exe: bash}, instance: tool}\n- {match: {exe: 'python*'}, refuse: 'no snakes'}"
    with daemon(home, moto_server, rules) as served:
        port = str(served.address[1])
        done = subprocess.run(
            [sys.executable, "-c", FORKED, port], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.stdout == "HTTP/1.1 403 Fo", done.stderr
        bash = f"exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'PUT /latest/api/token HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n"
        bash += 'X-aws-ec2-metadata-token-ttl-seconds: 60\\r\\n\\r\\n\' >&3; read -n 12 line <&3; echo "$line"'
        done = subprocess.run(["bash", "-c", bash], capture_output=True, text=True, timeout=30, check=False)
        assert done.stdout.strip() == "HTTP/1.1 200"


def test_a_client_that_is_gone_is_not_known(home, moto_server):
    """A process that has left before it could be looked up gets nothing where a rule asks what it was."""
    rules = "- {match: {ancestor: agent-x}, instance: agent}\n- {match: {user: '@daemon'}, instance: default}"
    with daemon(home, moto_server, rules) as served:
        code = (
            f"import socket, os; s = socket.create_connection(('127.0.0.1', {served.address[1]})); "
            "s.sendall(b'PUT /latest/api/token HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n"
            "X-aws-ec2-metadata-token-ttl-seconds: 60\\r\\n\\r\\n'); os._exit(0)"
        )
        for _ in range(20):
            subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
        assert token_and_list(served.address) == b"own"
        assert served.process.poll() is None


def test_every_kind_of_address(home, moto_server):
    """IPv4, IPv6 and Java's v4-mapped sockets are all the user's; pieces that come while it is looked up are kept."""
    rules = "- {match: {ancestor: agent-x}, instance: agent}\n- {match: {user: '@daemon'}, instance: default}"
    with daemon(home, moto_server, rules, listen="['http://127.0.0.1:0', 'http://[::1]:0']") as served:
        four, six = (url.removeprefix("http://").rstrip("/").rpartition(":") for url in served.status()["listen"])
        assert token_and_list(("127.0.0.1", int(four[2]))) == b"own"
        assert token_and_list(("::1", int(six[2]))) == b"own"
        assert token_and_list(("::ffff:127.0.0.1", int(four[2]))) == b"own"
        with socket.create_connection(("127.0.0.1", int(four[2]))) as client:
            for piece in (b"PUT /latest/api/to", b"ken HTTP/1.1\r\nHost: 127.0.0.1\r\nX-aws-ec2-", b"metadata-token-"):
                client.sendall(piece)
            client.sendall(b"ttl-seconds: 60\r\n\r\n")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(15) == b"HTTP/1.1 200 OK"


@needs_root
def test_a_setuid_client_is_who_made_its_socket(home, moto_server):
    """The uid is that of the socket's creator: what a process becomes later changes nothing."""
    rules = f"- {{match: {{user: {STRANGER}}}, instance: user}}\n- {{match: {{user: root}}, instance: default}}"
    with daemon(home, moto_server, rules) as served:
        address = served.address
        with acting_as(STRANGER):
            made = socket.create_connection(address)
        with made:
            made.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert made.recv(12) == b"HTTP/1.1 401", "the stranger's instance, which wants a token"
        assert token_and_list(served.address) == b"own"


EC2 = ("169.254.169.254", 80)


@needs_root
def test_containers_and_neighbours(home, sts_in, tmp_path):
    """A labelled container gets its instance by its address, another none, a neighbour on the LAN never anything."""
    rules = """\
        - {match: {container: {label: {imds: web}}}, instance: web}
        - {match: {user: '@daemon'}, instance: default}
        """
    path = tmp_path / "docker.sock"
    with Neighbourhood() as there, StandInEngine(path) as engine, sts_in(there.host) as sts:
        more = {"prefix": there.host.prefix, "environment": {"DOCKER_HOST": f"unix://{path}"}}
        with daemon(home, sts, rules, listen="http://169.254.169.254:80", **more) as served:
            assert there.host.call(token_and_list, EC2) == b"own"
            assert there.container.call(token_and_list, EC2) == b"", "no engine knows it"
            first = engine.run(1, address=there.CONTAINER, imds="web")
            assert there.container.call(token_and_list, EC2) == b"web"
            told = json.loads(served.imds("explain", "--from", there.CONTAINER, "--json").stdout)
            assert (told["instance"], told["caller"]["container"]["name"]) == ("web", "c1")
            # its address is given to another container, which has no label
            del engine.containers[first]
            second = engine.run(2, address=there.CONTAINER)
            assert there.container.call(token_and_list, EC2) == b""
            # and one that was started after the connection was made is not who made it
            del engine.containers[second]
            engine.run(3, address=there.CONTAINER, age=-30, imds="web")
            assert there.container.call(token_and_list, EC2) == b""
            engine.containers.clear()
            engine.run(4, address=there.CONTAINER, imds="web")
            assert there.container.call(token_and_list, EC2) == b"web"
            for broken in (b"", b"not JSON", b"[]", b'{"State": 1}', b"[1]"):
                engine.broken = broken
                assert there.container.call(token_and_list, EC2) == b"", broken
            engine.broken = None
            # a neighbour routes to the address, or asks for it by ARP, which Linux answers
            assert there.lan.call(token_and_list, EC2) == b""
            run("ip", "-n", there.lan.name, "route", "replace", "169.254.169.254/32", "dev", "eth0")
            assert there.lan.call(token_and_list, EC2) == b""
            assert "no rule matches" in served.log


@needs_root
def test_the_guard_keeps_neighbours_out_at_the_door(home, sts_in):
    """With the nftables guard of the address unit a neighbour gets no answer at all; host and containers do."""
    rules = "- {match: {network: 0.0.0.0/0}, instance: web}"
    guard = Path(__file__).parents[2] / "imds" / "host" / "service" / "system" / "guard.nft"
    with Neighbourhood() as there, sts_in(there.host) as sts:
        more = {"prefix": there.host.prefix}
        with daemon(home, sts, rules, listen="http://169.254.169.254:80", **more):
            assert there.lan.call(token_and_list, EC2) == b"web", "a rule that lets everybody in"
            run(*there.host.prefix, "nft", "-f", str(guard))
            with pytest.raises(OSError, match="timed out"):
                there.lan.call(token_and_list, EC2)
            assert there.container.call(token_and_list, EC2) == b"web"
            assert there.host.call(token_and_list, EC2) == b"web"


@needs_root
def test_hop_limit_one_keeps_tokens_on_this_host(home, sts_in):
    """With EC2's default a container's token request is refused at once."""
    rules = "- {match: {network: 172.17.0.0/16}, instance: tool}\n- {match: {user: '@daemon'}, instance: default}"
    with Neighbourhood() as there, sts_in(there.host) as sts:
        more = {"prefix": there.host.prefix}
        with daemon(home, sts, rules, listen="http://169.254.169.254:80", **more) as served:
            assert there.host.call(token_and_list, EC2) == b"own"
            assert there.container.call(token_and_list, EC2) == b""
            assert "http_put_response_hop_limit of instance tool is 1" in served.log


@needs_root
def test_a_redirected_client_is_known(home, sts_in):
    """A client whose connection to EC2's address is redirected (DNAT) to another port is still known by the kernel."""
    rules = "- {match: {ancestor: agent-x}, instance: agent}\n- {match: {user: '@daemon'}, instance: default}"
    table = """\
        table ip imds {
            chain out {
                type nat hook output priority -110; policy accept;
                ip daddr 169.254.169.254 tcp dport 80 dnat to 127.0.0.1:8099
            }
        }
        """
    with Neighbourhood() as there, sts_in(there.host) as sts:
        nft = home / "dnat.nft"
        nft.write_text(textwrap.dedent(table))
        run(*there.host.prefix, "nft", "-f", str(nft))
        more = {"prefix": there.host.prefix}
        with daemon(home, sts, rules, listen="http://127.0.0.1:8099", **more):
            assert there.host.call(token_and_list, EC2) == b"own"
