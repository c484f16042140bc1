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
            lines = [json.loads(line) for line in served.imds("audit", "--json").stdout.splitlines()]
        refused = [line["container"]["name"] for line in lines if line["container"]]
        assert {"plain", "two"} <= set(refused)


pytestmark = pytest.mark.timeout(180)
