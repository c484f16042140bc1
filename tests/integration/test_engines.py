"""Containers of docker and podman: by label, on the host's network, and at an address that was another's."""

from __future__ import annotations

import json

import pytest
from support.daemon import DaemonProcess, write_config
from support.engines import Engine
from support.namespaces import needs_root

URL = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
CONFIG = """\
    region: eu-west-1
    listen: ["http://169.254.169.254:80"]
    metadata_options: {http_tokens: optional, http_put_response_hop_limit: 2}
    roles:
      own: {role_arn: "arn:aws:iam::111122223333:role/own", source: {profile: work}}
      web: {role_arn: "arn:aws:iam::111122223333:role/web", source: {profile: work}}
      shop: {role_arn: "arn:aws:iam::111122223333:role/shop", source: {profile: work}}
    instances: {web: {role: web}, shop: {role: shop}}
    callers:
      - {match: {container: {label: {imds.instance: web}}}, instance: web}
      - {match: {container: {name: "shop-*", image: "*imds-test:busybox"}}, instance: shop}
      - {match: {container: {name: tools}, exe: /busybox-tool}, instance: shop}
      - {match: {container: {name: tools}, user: 4321}, instance: web}
      - {match: {exe: /busybox-tool}, instance: web}
      - {match: {command: busybox-tool}, instance: web}
      - {match: {user: 4321}, instance: web}
      - {match: {container: {name: "*"}}, refuse: "no label"}
      - {match: {user: "@daemon"}, instance: default}
"""


@needs_root
@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_containers_of_a_real_engine(home, namespace, sts_in, kind):
    """Each container gets what its labels or name say, others nothing, and the host's own processes their own."""
    with Engine(kind, namespace) as docker, sts_in(namespace) as sts:
        environment = {"AWS_ENDPOINT_URL_STS": sts.url, "DOCKER_HOST": f"unix://{docker.socket}"}
        config = write_config(home / "imds.yaml", CONFIG)
        served = DaemonProcess(home, "serve", "--config", str(config), environment=environment, prefix=namespace.prefix)
        with served:
            docker.start("one", "--label", "imds.instance=web")
            docker.start("shop-1")
            docker.start("plain")
            assert docker.get("one", URL) == "web"
            assert docker.get("shop-1", URL) == "shop"
            assert docker.get("plain", URL) == ""
            told = json.loads(served.imds("explain", "--from", docker.address("one"), "--json").stdout)
            assert told["caller"]["container"]["name"] == "one"
            # the address of a container that is gone is another's at once
            address = docker.address("one")
            docker.run("rm", "--force", "one")
            same = ("--ip", address) if kind == "podman" else ()  # podman goes through all others first
            docker.start("two", *same, "--label", "imds.instance=other")
            assert docker.address("two") == address
            assert docker.get("two", URL) == ""
            # on the host's network its control group tells
            docker.start("host-web", "--network", "host", "--label", "imds.instance=web")
            docker.start("host-plain", "--network", "host")
            assert docker.get("host-web", URL) == "web"
            assert docker.get("host-plain", URL) == ""
            programs_inside(docker, served)
            lines = [json.loads(line) for line in served.imds("audit", "--json").stdout.splitlines()]
        refused = [line["container"]["name"] for line in lines if line["container"]]
        assert {"plain", "two"} <= set(refused)


def programs_inside(docker: Engine, served: DaemonProcess) -> None:
    """Users and programs in a container are its own: with `container` they narrow, without they mean this host's."""
    copied = "/bin/busybox cp /bin/busybox /busybox-tool"
    tool = f"/busybox-tool wget -qO- {URL}"
    docker.start("tools")
    docker.start("cheat")
    docker.start("host-cheat", "--network", "host")
    for name in ("tools", "cheat", "host-cheat"):
        docker.run("exec", name, "/bin/busybox", "sh", "-c", copied)
    assert docker.run("exec", "tools", *tool.split()) == "shop"
    assert docker.get("tools", URL) == "", "another program in there"
    wget = ("/bin/busybox", "wget", "-qO-", URL)
    assert docker.run("exec", "--user", "4321", "tools", *wget) == "web"
    assert docker.run("exec", "--user", "4322", "tools", *wget, check=False) == ""
    # numbers and paths that coincide with this host's
    assert docker.run("exec", "--user", "4321", "cheat", *wget, check=False) == ""
    assert docker.run("exec", "cheat", *tool.split(), check=False) == ""
    assert docker.run("exec", "host-cheat", *tool.split(), check=False) == ""
    # who shares a container's network is not that container
    docker.start("guest", "--network", "container:tools")
    docker.run("exec", "guest", "/bin/busybox", "sh", "-c", copied)
    assert docker.run("exec", "guest", *tool.split(), check=False) == ""
    docker.run("rm", "--force", "guest")  # while it is there podman keeps the other
    lines = [json.loads(line) for line in served.imds("audit", "--json").stdout.splitlines()]
    told = [(line["container"]["name"], line.get("container_uid"), line["exe"]) for line in lines if line["container"]]
    assert ("cheat", 0, "/busybox-tool") in told
    assert ("cheat", 4321, "/bin/busybox") in told
    assert ("guest", 0, "/busybox-tool") in told
    assert {line["uid"] for line in lines if line.get("container_uid") is not None} == {None}
    explained = json.loads(served.imds("explain", "--from", docker.address("tools"), "--json").stdout)["caller"]
    assert (explained["container"]["name"], explained["exe"]) == ("tools", "/bin/busybox")
    assert explained["pid"] == int(docker.run("inspect", "--format", "{{.State.Pid}}", "tools"))
    assert (explained["uid"], explained["container_uid"]) == (None, 0)


pytestmark = pytest.mark.timeout(180)
