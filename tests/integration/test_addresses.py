"""``imds address``: EC2's addresses brought to a machine, and taken away again; real namespaces, real neighbours."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import wire
from support.daemon import DaemonProcess, write_config
from support.engines import Engine
from support.laptop import Laptop, Machine, needs_laptop
from support.machine import eventually
from support.namespaces import ADDRESSES, ADDRESSES_6, run

pytestmark = needs_laptop

EC2, EC2_6, ECS = ("169.254.169.254", 80), ("fd00:ec2::254", 80), ("169.254.170.2", 80)
FIVE = ("169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254", "fd00:ec2::23")
LIST = "/latest/meta-data/iam/security-credentials/"
NOBODY, STRANGER = 65534, 54321
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what keeps port 80 of every address from others
CLOSE = {"Connection": "close"}
MOMENT = 0.5
"""Seconds after which what has not come does not come."""

TOPOLOGIES = {"direct": ["--direct"], "redirect": ["--redirect"], "faithful": ["--faithful"]}
ANYBODY = "- {match: {network: 0.0.0.0/0}, instance: out}\n  - {match: {network: '::/0'}, instance: out}"


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A machine alone."""
    with Machine() as made:
        yield made


@pytest.fixture
def laptop() -> Iterator[Laptop]:
    """A machine with a container and a neighbour."""
    with Laptop() as made:
        yield made


def role(address: tuple[str, int] = EC2, timeout: float = 10) -> str:
    """Return the default role of whoever asks, or why there is none."""
    ask = wire.request("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, host=None)
    try:
        token = wire.exchange(address, ask, timeout=timeout)
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return error.strerror
    if token.status != 200:
        return str(token.status)
    return wire.get(address, LIST, token=token.body.decode()).body.decode()


def page(address: tuple[str, int] = EC2, timeout: float = 10) -> str:
    """Return the status of a request without a token, or that nothing came."""
    try:
        return str(wire.exchange(address, wire.request("GET", "/", CLOSE, host=None), timeout=timeout).status)
    except TimeoutError:
        return "no answer"


def daemon(home: Path, machine: Machine, sts, *, listen: str, rules: str = "", before=(), **more) -> DaemonProcess:
    """Return a daemon on a machine, whose own user's role is ``own``, others' what ``rules`` say."""
    config = write_config(
        home / "imds.yaml",
        f"region: eu-west-1\nlisten: [{listen}]\nroles:\n"
        "  own: {role_arn: 'arn:aws:iam::111122223333:role/own', source: {profile: work}}\n"
        "  out: {role_arn: 'arn:aws:iam::111122223333:role/out', source: {profile: work}}\n"
        "instances:\n  default: {role: own}\n"
        "  out: {role: out, metadata_options: {http_put_response_hop_limit: 2}}\n"
        "  v1: {role: out, metadata_options: {http_put_response_hop_limit: 2, http_tokens: optional}}\n"
        "  near: {role: out}\n"
        f"callers:\n  - {{match: {{user: '@daemon'}}, instance: default}}\n  {rules}\n",
    )
    environment = {"AWS_ENDPOINT_URL_STS": sts.url} | more.pop("environment", {})
    words = [*before, "serve", "--config", str(config)]
    return DaemonProcess(home, *words, prefix=machine.prefix, environment=environment, **more)


@contextmanager
def web_server(machine: Machine, port: int = 80, *, bind: str = EVERYWHERE) -> Iterator[None]:
    """Something else that listens on all addresses: a real HTTP server."""
    server = subprocess.Popen(
        [*machine.prefix, sys.executable, "-m", "http.server", str(port), "--bind", bind, "--directory", "/run"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: f":{port} " in machine.run("ss", "-Hlnt"))
        yield
    finally:
        server.kill()
        server.wait()


def test_a_neighbour_gets_in_only_where_the_guard_is_not(home, laptop, sts_in):
    """Direct: this host and its container are answered, a neighbour is only while the guard is away; v4, v6 and ARP."""
    before = laptop.network()
    laptop.address("up", "--all", "--direct")
    listen = "'http://169.254.169.254:80', 'http://[fd00:ec2::254]:80'"
    laptop.lan.run("ip", "route", "add", "169.254.170.2", "dev", "eth0")  # which Linux answers by ARP
    with sts_in(laptop) as sts, daemon(home, laptop, sts, listen=listen, rules=ANYBODY):
        assert [laptop.call(role, address) for address in (EC2, EC2_6)] == ["own", "own"]
        assert [laptop.container.call(role, address) for address in (EC2, EC2_6)] == ["out", "out"]
        assert [laptop.lan.call(role, address, MOMENT) for address in (EC2, EC2_6, ECS)] == ["no answer"] * 3
        assert laptop.report()["guard"] == {"there": True, "by": "imds address up"}

        laptop.run("nft", "flush", "ruleset")
        assert [laptop.lan.call(role, address) for address in (EC2, EC2_6)] == ["out", "out"]
        assert laptop.lan.call(role, ECS) == "Connection refused", "it gets there, though nobody listens"
        told = laptop.report()
        assert (told["guard"]["there"], told["exposed_to"]) == (False, ["wlan0"])
        assert any("neighbours on wlan0" in problem for problem in told["problems"])

        assert "nft -f -" in laptop.address("up")
        assert laptop.lan.call(role, EC2, MOMENT) == "no answer"
        told = laptop.report()
        assert told["problems"] == []
        first = told["addresses"][0]
        assert (first["device"], first["by"], first["answers"]["as_imds"]) == ("lo", "imds address up", True)
        assert [one["imds"] for one in first["listeners"]] == [True]
        assert "a metadata service answers" in laptop.address("status")
    laptop.address("down")
    assert laptop.network() == before


def test_a_web_server_keeps_port_80(home, laptop, sts_in):
    """Redirect is chosen where port 80 is taken: clients get the daemon, who calls is known."""
    laptop.run("ip", "route", "flush", "default")
    before = laptop.network()
    with web_server(laptop), sts_in(laptop) as sts:
        said = laptop.address("up")
        assert said.startswith("# redirect: port 80 is taken by python")
        with daemon(home, laptop, sts, listen="'http://127.0.0.1:9254'") as served:
            assert laptop.call(role) == "own"
            assert laptop.call(role, EC2, uid=STRANGER) == "403"
            assert page_server(laptop, "127.0.0.1").startswith("SimpleHTTP")
            assert page_server(laptop, "172.17.0.1").startswith("SimpleHTTP")
            told = laptop.report()
            first = told["addresses"][0]
            assert (told["topology"], first["led_to"], first["answers"]["as_imds"]) == (
                "redirect",
                ["127.0.0.1", 9254],
                True,
            )
            assert [one["imds"] for one in first["listeners"]] == [True]
            assert "clients need" not in served.log, "they need nothing"
            assert "clients need" not in served.imds("status").stdout
            # a reason to switch, and what was there for redirect goes
            refused = laptop.imds("address", "up", "--direct", status=1)
            assert "port 80 is taken by python" in refused.stderr
        laptop.address("down")
        assert laptop.network() == before


def page_server(machine: Machine, host: str) -> str:
    """Return what serves a page on a machine, as it says itself."""
    return machine.call(wire.exchange, (host, 80), wire.request("GET", "/", host=None)).headers["Server"]


def test_containers_are_led_to_the_daemon_too(home, laptop, sts_in):
    """Redirect to a port of the address itself is for containers too, still not for neighbours."""
    with web_server(laptop), sts_in(laptop) as sts:
        laptop.address("up", "--ipv6", "--to", "169.254.169.254:9300")
        listen = "'http://169.254.169.254:9300', 'http://[fd00:ec2::254]:9300'"
        with daemon(home, laptop, sts, listen=listen, rules=ANYBODY):
            assert [laptop.call(role, address) for address in (EC2, EC2_6)] == ["own", "own"]
            assert [laptop.container.call(role, address) for address in (EC2, EC2_6)] == ["out", "out"]
            assert [laptop.lan.call(role, address, MOMENT) for address in (EC2, EC2_6)] == ["no answer"] * 2
        assert "--to" not in laptop.address("up"), "where it leads stays as it is"
        assert laptop.report()["target"] == "169.254.169.254:9300"


def test_hops_count_as_on_ec2(home, laptop, sts_in):
    """Faithful: at hop limit 1 a container's token gets lost on the way, all else comes; its own address is known."""
    before = laptop.network()
    assert laptop.address("up", "--faithful", "--all").startswith("# faithful")
    # what Docker does: everything from its network goes out as this host, and port 80 of all addresses is a container's
    laptop.run("nft", "-f", "-", input=DOCKER)
    rules = f"- {{match: {{network: {laptop.CONTAINER}/32}}, instance: near}}\n  - {ANYBODY.removeprefix('- ')}"
    handed = ("address", "exec", "--user", "root", "--", "imds")
    with (
        sts_in(laptop) as sts,
        daemon(home, laptop, sts, listen="'http://127.0.0.1:9254'", rules=rules, before=handed) as served,
    ):
        assert [laptop.call(role, address) for address in (EC2, EC2_6)] == ["own", "own"]
        assert laptop.call(role, EC2, uid=STRANGER) != "own"
        assert laptop.container.call(role, EC2, MOMENT) == "no answer", "near: hop limit 1"
        inside = ("nsenter", "--net=/run/netns/imds", "ss", "-Hnta")
        assert re.search(UNSENT, laptop.run(*inside)), "it is sent again and again"
        assert laptop.container.call(page, EC2) == "401", "only tokens are held back"
        assert laptop.container.call(role, EC2_6) == "out", "hop limit 2"
        explained = json.loads(served.imds("explain", "--from", laptop.CONTAINER, "--json").stdout)
        assert explained["instance"] == "near"
        assert laptop.container.call(page, ECS) == "404", "container credentials, of a caller that is known"
        assert [laptop.lan.call(page, address, MOMENT) for address in (EC2, EC2_6)] == ["no answer"] * 2
        laptop.run("nft", "delete", "table", "inet", "imds")
        assert [laptop.lan.call(page, address) for address in (EC2, EC2_6)] == ["401"] * 2, "the guard kept it away"
        assert len(served.status()["listen"]) == len(FIVE) + 1
        laptop.address("up", "--faithful")
        told = laptop.report()
        assert (told["topology"], told["addresses"][0]["device"], told["problems"]) == ("faithful", "imds0", [])
        eventually(lambda: not re.search(UNSENT, laptop.run(*inside)))  # and given up, within seconds
    laptop.run("nft", "delete", "table", "ip", "docker")
    laptop.address("down")
    assert laptop.network() | {"run": ""} == before | {"run": ""}, "ip leaves /run/netns behind"


def test_a_real_docker(home, namespace, sts_in):
    """A published port 80 of Docker's own lets redirect be chosen; faithful, Docker's containers are known by label."""
    for address in (*ADDRESSES, *ADDRESSES_6):
        run("ip", "-n", namespace.name, "address", "del", address, "dev", "lo")
    with Engine("docker", namespace) as docker, Machine(namespace.name) as machine, sts_in(namespace) as sts:
        docker.start("web", "--publish", "80:80", "--label", "imds.instance=v1")
        assert machine.address("up", "--dry-run").startswith("# redirect: ")
        docker.start("plain")
        machine.address("up", "--faithful")
        rules = "- {match: {container: {label: {imds.instance: v1}}}, instance: v1}"
        handed = ("address", "exec", "--user", "root", "--", "imds")
        more = {"rules": rules, "before": handed, "environment": {"DOCKER_HOST": f"unix://{docker.socket}"}}
        with daemon(home, machine, sts, listen="'http://127.0.0.1:9254'", **more):
            assert machine.call(role) == "own", "not the container that is published"
            assert docker.get("web", f"http://169.254.169.254{LIST}") == "out"
            assert docker.get("plain", f"http://169.254.169.254{LIST}") == ""
            machine.address("up", "--redirect")
            assert machine.call(role) == "own", "likewise"
        machine.address("down")


UNSENT = "LAST-ACK|FIN-WAIT-1|CLOSING"
DOCKER = """\
table ip docker {
    chain nat {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr 172.17.0.0/16 oifname != "docker0" masquerade
    }
    chain out {
        type nat hook output priority -100; policy accept;
        fib daddr type local tcp dport 80 counter dnat to 172.17.0.2:80
    }
}
"""


@pytest.mark.parametrize("options", [*TOPOLOGIES.values(), ["--redirect", "--all"]], ids=" ".join)
def test_twice_is_as_once(machine, options):
    """A second `up` runs nothing and changes nothing; `down` undoes all, and a second one has nothing to do."""
    before = machine.network()
    machine.address("up", *options)
    up = machine.network()
    again = machine.address("up", *options)
    assert [line for line in again.splitlines() if not line.startswith("#")] == []
    assert machine.network() == up != before
    machine.address("down")
    after = machine.network()
    assert {**after, "run": ""} == {**before, "run": ""}
    assert "imds.address" not in after["run"]
    assert machine.address("down") == "# nothing of ours is there\n"


@pytest.mark.parametrize("options", TOPOLOGIES.values(), ids=" ".join)
def test_a_dry_run_shows_what_a_real_one_does(machine, options):
    """It prints the very commands of the real run, changes nothing, and does so for anybody."""
    before = machine.network()
    as_user = ordinary(machine)
    shown = machine.address("up", "--dry-run", "--all", *options, before=as_user)
    assert machine.address("up", "--dry-run", "--all", *options) == shown
    assert machine.network() == before
    assert machine.address("up", "--all", *options) == shown
    up = machine.network()
    shown = machine.address("down", "--dry-run", before=as_user)
    assert machine.network() == up
    assert machine.address("down") == shown


def ordinary(machine: Machine) -> tuple[str, ...]:
    """Return what runs a program as an ordinary user."""
    words = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    try:
        machine.run(*words, sys.executable, "-c", "import imds")
    except subprocess.CalledProcessError:
        pytest.skip("needs a Python that other users may run")
    return words


def test_who_is_not_root_is_told_what_to_run(machine):
    """`up` and `down` of an ordinary user change nothing and give the exact command; `status` needs no root."""
    as_user = ordinary(machine)
    before = machine.network()
    for verb in (("up", "--all", "--redirect", "--to", "9300"), ("down",), ("exec", "imds", "serve")):
        done = machine.imds("address", *verb, status=77, before=as_user)
        assert done.stderr.splitlines()[-1] == f"  sudo {sys.executable} -m imds address {' '.join(verb)}"
        assert done.stdout == ""
    assert machine.network() == before
    machine.address("up", "--redirect")
    told = json.loads(machine.imds("address", "status", "--json", before=as_user).stdout)
    assert (told["topology"], told["guard"], told["problems"]) == (
        "redirect",
        {"there": True, "by": "imds address up"},
        [],
    )
    script = machine.imds("address", "up", "--all", status=77, before=as_user).stderr.splitlines()[-1]
    machine.run("sh", "-c", script.replace("sudo ", ""))
    assert machine.report()["addresses"][4]["device"] == "lo", "the printed command does it"


def test_whoever_calls_sudo_is_led_to_a_port_of_theirs(machine):
    """Where the user behind sudo may not listen on port 80, it is led elsewhere; not where it is held for them."""
    assert machine.address("up", "-n", SUDO_UID="1000").startswith(
        "# redirect: your programs may not listen on port 80"
    )
    machine.run("ip", "address", "add", "169.254.169.254/32", "dev", "lo")
    with web_server(machine, bind="169.254.169.254"):  # as systemd does, for the daemon
        assert re.match(
            r"# direct: python\d? \(pid \d+\) listens there already", machine.address("up", "-n", SUDO_UID="1000")
        )
    machine.run("sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=80")
    assert machine.address("up", "-n", SUDO_UID="1000").startswith("# direct")


class Crashing:
    """Versions of ``ip`` and ``nft`` that kill who calls them at the n-th change, before or after it is made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("ip", "nft"):
            script = folder / name
            script.write_text(SCRIPT.format(count=folder / "count", real=shutil.which(name)))
            script.chmod(0o755)

    def environment(self, moment: str, number: int) -> dict[str, str]:
        (self._folder / "count").write_text("")
        return {"PATH": f"{self._folder}:{os.environ['PATH']}", "CRASH": f"{moment}{number}"}


SCRIPT = """\
#!/bin/sh
case " $* " in *" show "*|*" list "*) exec {real} "$@" ;; esac
echo >>{count}
number=$(wc -l <{count})
[ "$CRASH" = "before$number" ] && kill -9 $PPID && exit 1
[ "$CRASH" = "fail$number" ] && echo "made to fail" >&2 && exit 1
{real} "$@"
status=$?
[ "$CRASH" = "after$number" ] && kill -9 $PPID
exit $status
"""


@pytest.mark.parametrize(
    ("options", "moment"),
    [(["--direct", "--ipv6"], "before"), (["--redirect"], "after"), (["--faithful"], "after")],
    ids=["direct", "redirect", "faithful"],
)
def test_a_crash_between_any_two_steps_is_undone(machine, tmp_path, options, moment):
    """Killed at any of its commands, `up` leaves nothing that `down` does not take away, byte for byte."""
    crashing = Crashing(tmp_path)
    before = machine.network() | {"run": ""}
    number = 0
    while True:
        number += 1
        done = subprocess.run(
            [*machine.prefix, sys.executable, "-m", "imds", "address", "up", *options],
            env=os.environ | crashing.environment(moment, number),
            capture_output=True,
            check=False,
        )
        if done.returncode == 0:
            break
        assert done.returncode in (-9, 137), done
        if number == 2:  # a second attempt completes what the first began
            machine.address("up", *options)
            assert machine.report()["problems"] == []
        machine.address("down")
        assert machine.network() | {"run": ""} == before, number
    assert number > 3
    # and `down` itself may be killed
    for which in (1, 2):
        subprocess.run(
            [*machine.prefix, sys.executable, "-m", "imds", "address", "down"],
            env=os.environ | crashing.environment(moment, which),
            capture_output=True,
            check=False,
        )
    machine.address("down")
    assert machine.network() | {"run": ""} == before


def test_what_fails_is_undone_at_once(machine, tmp_path):
    """A command that fails ends it with that program's words, and what was done before is taken away again."""
    before = machine.network()
    crashing = Crashing(tmp_path)
    done = machine.imds("address", "up", "--all", "--redirect", status=1, **crashing.environment("fail", 4))
    assert "`ip address add 169.254.170.23/32 dev lo scope link` failed: made to fail" in done.stderr
    assert machine.network() == before
    # and only that: what an earlier call has put there stays
    machine.address("up", "--direct")
    up = machine.network()
    machine.imds("address", "up", "--all", status=1, **crashing.environment("fail", 2))
    assert machine.network() == up


def test_what_others_have_put_there_stays(machine):
    """An address and a guard of somebody else's serve as they are, and are there after `down`."""
    guard = (Path(__file__).parents[2] / "imds" / "host" / "service" / "system" / "guard.nft").read_text()
    machine.run("nft", "-f", "-", input=guard)
    machine.run("ip", "address", "add", "169.254.169.254/32", "dev", "lo")
    before = machine.network()
    said = machine.address("up", "--direct")
    assert [line for line in said.splitlines() if not line.startswith("#")] == []
    assert machine.network() == before
    assert machine.report()["addresses"][0]["by"] == "somebody else"
    assert machine.address("up", "--direct", "--container").count("ip address add") == 2
    machine.address("down")
    assert machine.network() == before
    # faithful would be in vain: the kernel would never send to a namespace what is for itself
    refused = machine.imds("address", "up", "--faithful", status=1)
    assert "169.254.169.254 is on lo already" in refused.stderr
    # a guard that guards something else is not taken for ours, nor replaced
    machine.run("nft", "flush", "chain", "inet", "imds", "guard")
    refused = machine.imds("address", "up", "--direct", status=1)
    assert "does not guard 169.254.169.254" in refused.stderr
    assert "nothing of ours" in machine.address("down")


def test_what_has_been_replaced_is_not_ours(machine):
    """A table or an address that somebody has made anew since is theirs; `down` says so and leaves it."""
    machine.address("up", "--direct")
    machine.run("nft", "-f", "-", input="table inet imds\ndelete table inet imds\ntable inet imds { chain mine { }; }")
    theirs = machine.run("nft", "list", "ruleset")
    machine.run("ip", "address", "del", "169.254.169.254/32", "dev", "lo")
    said = machine.address("down")
    assert said.count("gone already, or not ours any more") == 2
    assert machine.run("nft", "list", "ruleset") == theirs


def test_one_topology_gives_way_to_another(machine):
    """Asked for another, the first is taken away whole; without being asked it stays."""
    before = machine.network()
    for options in ([], ["--redirect"], [], ["--faithful"], ["--direct"]):
        machine.address("up", *options)
    assert machine.report()["topology"] == "direct"
    machine.address("down")
    assert machine.network() | {"run": ""} == before | {"run": ""}


PUBLISHED = {
    "docker": "tcp dport 80 counter dnat to 172.17.0.2:80",
    "an own address": "ip daddr 192.168.50.10 tcp dport 80 dnat to 172.17.0.2:80",
    "a port of loopback": "ip daddr 127.0.0.1 tcp dport 80 dnat to 172.17.0.2:80",
    "from outside": 'iifname "wlan0" tcp dport 80 dnat to 172.17.0.2:80',
    "another port": "tcp dport 8080 dnat to 172.17.0.2:80",
}


@pytest.mark.parametrize("rule", PUBLISHED)
def test_a_published_container_is_seen(machine, rule):
    """A rule by which an engine leads port 80 of every address to a container means redirect; others do not."""
    chain = f"type nat hook output priority -100\n{PUBLISHED[rule]}\n"
    machine.run("nft", "-f", "-", input=f"table ip engine {{\nchain out {{\n{chain}}}\n}}\n")
    said = machine.address("up", "--dry-run")
    assert said.startswith("# redirect: a container is published on port 80" if rule == "docker" else "# direct")
    if rule == "docker":
        done = machine.imds("address", "up", "--direct")
        assert "clients will get that container" in done.stderr
        assert any("is published on port 80" in problem for problem in machine.report()["problems"])
        machine.address("up", "--redirect")
        assert machine.report()["problems"] == []


@pytest.mark.skipif(shutil.which("iptables-legacy") is None, reason="needs iptables-legacy")
@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
def test_a_container_is_seen_that_docker_published(machine, program):
    """Docker's own rules, by either kind of iptables."""
    try:
        machine.run(program, "-t", "nat", "-N", "DOCKER")
    except subprocess.CalledProcessError:
        pytest.skip(f"{program} does not work here")
    local = ("-m", "addrtype", "--dst-type", "LOCAL", "-j", "DOCKER")
    machine.run(program, "-t", "nat", "-A", "OUTPUT", "!", "-d", "127.0.0.0/8", *local)
    to = ("-p", "tcp", "--dport", "80", "-j", "DNAT", "--to-destination", "172.17.0.2:80")
    machine.run(program, "-t", "nat", "-A", "DOCKER", "!", "-i", "docker0", *to)
    assert machine.address("up", "--dry-run").startswith("# redirect: a container is published on port 80")


def test_without_the_guard(laptop):
    """Who leaves the guard out is told who gets in then."""
    done = laptop.imds("address", "up", "--no-guard")
    assert "neighbours on wlan0 reach the addresses" in done.stderr
    assert "table" not in laptop.run("nft", "list", "ruleset")
    assert laptop.address("up").count("nft -f -") == 1, "it can be had later"


def test_a_clouds_own_service_is_put_out_of_reach(machine):
    """On a cloud's machine the address hides the cloud's own metadata service, and `up` says so."""
    machine.run("sh", "-c", "mount -t tmpfs none /sys/class && mkdir -p /sys/class/dmi/id")
    machine.run("sh", "-c", "echo i-0123456789abcdef0 >/sys/class/dmi/id/board_asset_tag")
    assert "a machine of EC2, whose own metadata service" in machine.imds("address", "up", "--direct").stderr


def test_without_ipv6(machine):
    """Where IPv6 is off, its addresses are left out, and it is said so; everything else is as ever."""
    machine.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
    before = machine.network()
    for options in TOPOLOGIES.values():
        said = machine.address("up", "--all", *options)
        assert "IPv6 is off" in said
        assert "-6" not in said
        here = {one["address"] for one in machine.report()["addresses"] if one["device"]}
        assert here == {host for host in FIVE if ":" not in host}
        machine.address("down")
        assert machine.network() | {"run": ""} == before | {"run": ""}


@pytest.mark.parametrize("program", ["ip", "nft"])
def test_a_missing_program_is_named(machine, program):
    """Without `ip` or `nft` nothing is done, and the package is named that has it."""
    before = machine.network()
    folders = [*os.get_exec_path(), "/usr/local/sbin", "/usr/sbin", "/sbin"]
    places = {os.path.realpath(f"{folder}/{program}") for folder in folders if Path(folder, program).exists()}
    for place in places:
        machine.run("mount", "--no-mtab", "--bind", "/dev/null", place)
    done = machine.imds("address", "up", status=1)
    assert f"the program `{program}` is missing: install the package" in done.stderr
    for place in places:
        machine.run("umount", place)
    assert machine.network() | {"run": ""} == before | {"run": ""}
    assert "imds.address" not in machine.network()["run"]


def test_a_program_is_given_the_sockets_and_no_privilege(machine):
    """What `exec` runs is an ordinary user's, with listening sockets as systemd hands them over, and their home."""
    show = 'id -u; id -G; echo "$LISTEN_FDS $HOME $USER $SUDO_UID"; [ "$LISTEN_PID" = $$ ] && echo mine'
    words = ("--", "sh", "-c", show)
    assert "are not there" in machine.imds("address", "exec", "--user", "nobody", *words, status=1).stderr
    machine.address("up", "--direct", "--container")
    said = machine.address("exec", *words, SUDO_UID=str(NOBODY))
    assert said.splitlines() == [
        "65534",
        machine.run("id", "-G", "nobody").strip(),
        "4 /nonexistent nobody ",
        "mine",
    ]
    assert "whose program" in machine.imds("address", "exec", *words, status=2).stderr
    assert "there is no user" in machine.imds("address", "exec", "--user", "nope", *words, status=2).stderr
    assert machine.imds("address", "exec", "--user", "nobody", "/nope", status=127).stderr.startswith("imds: /nope: ")
    machine.address("up", "--redirect")
    done = machine.imds("address", "exec", "--user", "nobody", "imds", "serve", status=1)
    assert "any user may listen: run imds serve without this" in done.stderr


def test_a_daemon_does_not_ask_itself_by_way_of_the_address(machine):
    """Where port 80 is led to the daemon, a source at 169.254.169.254 is the daemon itself, and it knows."""
    code = "from imds.host.addresses.record import led_to; print(led_to('169.254.169.254', 80), led_to('10.0.0.1', 80))"
    assert machine.run(sys.executable, "-c", code) == "('169.254.169.254', 80) ('10.0.0.1', 80)\n"
    machine.address("up", "--redirect", "--to", "9300")
    assert machine.run(sys.executable, "-c", code) == "('127.0.0.1', 9300) ('10.0.0.1', 80)\n"


def test_a_record_of_somebody_else_is_not_believed(machine):
    """A record that others may have written is not acted upon."""
    machine.address("up", "--direct")
    up = machine.network()
    file = machine.run("sh", "-c", "ls /run/imds.address/*").strip()
    machine.run("chmod", "666", file)
    assert "may have been written by somebody else" in machine.imds("address", "down", status=1).stderr
    machine.run("chmod", "644", file)
    machine.run("chown", str(NOBODY), file)
    assert "may have been written by somebody else" in machine.imds("address", "down", status=1).stderr
    assert machine.network() == up


@pytest.mark.parametrize(
    "target", ["10.0.0.1:9254", "127.0.0.1:0", "127.0.0.1:x", "169.254.169.254:80", "127.0.0.999:1"]
)
def test_a_target_that_cannot_be(machine, target):
    """Where to lead port 80 is a port of this host's; anything else is refused with what to write."""
    done = machine.imds("address", "up", "--to", target, status=2)
    assert "write 127.0.0.1:PORT" in done.stderr
