"""The examples for containers: accepted by what reads them, and at work with clients of other users."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from support.engines import IMAGE, Engine
from support.namespaces import needs_root, run
from support.pods import LIMITS, PYTHON, WHICH_ROLE, Pod, image_environment, python_mounts
from support.sts import StandInSts

from imds.config import loading

DEPLOY = Path(__file__).parents[2] / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
VARIABLES = {"user": "me", "host": "here", "pid": "1"}
READY = "imds status --json | grep '\"ready\": true'"
GATEWAY = "10.77.0.1"


def tool(name: str) -> str:
    """Return a program that checks what others write; it is installed beside the real clients."""
    clients = os.environ.get("IMDS_CLIENTS", "")
    found = shutil.which(name, path=f"{clients}/bin:{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"needs {name} (make test installs it)")
    return found


def documents(manifest: str) -> list[dict]:
    """Return the objects of a manifest."""
    return list(yaml.safe_load_all((DEPLOY / "kubernetes" / manifest).read_text()))


def configurations() -> list[tuple[str, str]]:
    """Return every configuration among the examples, with a name."""
    found = [("compose-config.yaml", (DEPLOY / "compose-config.yaml").read_text())]
    for manifest in MANIFESTS:
        maps = [one for one in documents(manifest.name) if one["kind"] == "ConfigMap"]
        found += [(manifest.name, one["data"]["config.yaml"]) for one in maps]
    return found


@pytest.mark.parametrize(("name", "text"), configurations(), ids=[name for name, _ in configurations()])
def test_every_configuration_is_one(tmp_path, name, text):
    """What the examples give to the daemon is accepted, and says who is to get what."""
    (path := tmp_path / name).write_text(text)
    path.chmod(0o644)
    config = loading.load(path, variables=VARIABLES, uid=10001)
    assert len(config.callers) >= 2
    assert "callers:" in text


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
def test_manifests_fit_the_schemas_of_kubernetes(manifest):
    """Every object of every manifest is what an API server takes, with no property that it does not know."""
    command = [tool("kubernetes-validate"), "--strict", manifest]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_is_well_made():
    """The linter of Dockerfiles has no complaint; the image's user is nobody in particular."""
    dockerfile = DEPLOY / "Dockerfile"
    done = subprocess.run([tool("hadolint"), dockerfile], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert "USER 10001:10001" in dockerfile.read_text()


def test_the_image_copies_what_is_there():
    """Every path that the build takes from the project exists, and passes the list of what is not sent."""
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = [
        word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]
    ]
    sent = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"]
    assert set(copied) == set(sent)
    assert all((DEPLOY.parent / path).exists() for path in copied)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """A real engine in a network namespace, with an STS that its containers reach."""
    from support.namespaces import Namespace  # noqa: PLC0415 - with the engine

    with Namespace("d") as namespace:
        run("ip", "-n", namespace.name, "address", "del", "169.254.169.254/32", "dev", "lo")  # a container has it
        with Engine("docker", namespace) as docker, StandInSts(namespace=namespace, host="0.0.0.0") as sts:  # noqa: S104 - nothing else is in that namespace
            docker.run("network", "create", "--subnet", "10.77.0.0/24", "--gateway", GATEWAY, "outside")
            yield docker, sts


def client_of(labels: dict[str, str], user: str) -> dict[str, object]:
    """Return what makes a service of the example a client that says which role it has."""
    return {
        "image": IMAGE,
        "entrypoint": [PYTHON, "-P", "-c", WHICH_ROLE],
        "command": [],
        "user": user,
        "labels": labels,
        "volumes": python_mounts(),
        "ulimits": LIMITS,
        "networks": ["metadata", "outside"],
    }


@needs_root
def test_the_compose_example(engine, tmp_path):
    """Containers of other users get the roles of their labels at EC2's own address; without one they get nothing."""
    compose = shutil.which("docker-compose") or pytest.skip("needs docker-compose")
    docker, sts = engine
    (aws := tmp_path / "aws").mkdir(mode=0o755)
    (aws / "credentials").write_text("[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = x\n")
    said = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["imds"]["environment"]
    image = {name: value for name, value in image_environment().items() if name not in said}
    changes = {
        "version": "3.9",
        "services": {
            "imds": {
                "image": IMAGE,
                "entrypoint": [PYTHON, "-P", "-m", "imds"],
                "command": ["serve", "--config", "/etc/imds/config.yaml"],
                "environment": image | {"AWS_ENDPOINT_URL_STS": f"http://{GATEWAY}:{sts.port}"},
                "volumes": python_mounts(),
                "ulimits": LIMITS,
            },
            "shop": client_of({}, "1234:1234"),
            "reports": client_of({}, "4321:4321"),
            "stranger": client_of({"imds.instance": "other"}, "1234:1234"),
        },
        "networks": {"outside": {"external": True}},
    }
    (override := tmp_path / "override.yaml").write_text(yaml.safe_dump(changes))
    socket = docker.socket.stat()
    environment = os.environ | {
        "DOCKER_HOST": f"unix://{docker.socket}",
        "IMDS_UID": "1000",
        "IMDS_DOCKER_GID": str(socket.st_gid),
        "IMDS_DOCKER_SOCKET": str(docker.socket),
        "IMDS_AWS": str(aws),
    }
    command = [compose, "--project-name", "t", "--file", str(DEPLOY / "compose.yaml"), "--file", str(override)]

    def call(*arguments: str) -> str:
        done = subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr + docker.run("logs", "t_imds_1", check=False)
        return done.stdout

    try:
        call("up", "--detach", "--no-build", "imds")
        docker.until_it_answers("t_imds_1", "sh", "-c", READY)
        assert call("run", "--rm", "--no-deps", "shop").split() == ["shop", "1234"]
        assert call("run", "--rm", "--no-deps", "reports").split() == ["reports", "4321"]
        assert call("run", "--rm", "--no-deps", "stranger").split() == ["nothing", "1234"]
        assert docker.run("exec", "t_imds_1", PYTHON, "-c", "import os; print(os.getuid())") == "1000"
    finally:
        subprocess.run([*command, "down"], env=environment, capture_output=True, timeout=60, check=False)


@needs_root
def test_the_sidecar_example(engine, tmp_path):
    """In a pod the container of the named user gets the role, by the pod's token; another user gets nothing."""
    docker, sts = engine
    objects = documents("sidecar.yaml")
    spec = next(one for one in objects if one["kind"] == "Deployment")["spec"]["template"]["spec"]
    (imds,), (shop,) = spec["initContainers"], spec["containers"]
    environment = {"AWS_ENDPOINT_URL_STS": f"http://{GATEWAY}:{sts.port}"}
    pod = Pod(docker, "sidecar", objects, tmp_path, environment=environment, network=("--network", "outside"))
    pod.start(spec, imds)
    assert pod.run(spec, shop, WHICH_ROLE).split() == ["shop", "1000"]
    assert pod.run(spec, shop, WHICH_ROLE, runAsUser=1001).split() == ["nothing", "1001"]
    assert {call["WebIdentityToken"] for call in sts.calls if "WebIdentityToken" in call} == {
        "header.payload.signature"
    }


@needs_root
def test_the_daemonset_example(engine, tmp_path):
    """Pods of the cluster's range get the role by the service's name; a container elsewhere gets nothing."""
    docker, sts = engine
    objects = documents("daemonset.yaml")
    spec = next(one for one in objects if one["kind"] == "DaemonSet")["spec"]["template"]["spec"]
    client = next(one for one in objects if one["kind"] == "Pod")["spec"]
    docker.run("network", "create", "--subnet", "10.244.0.0/16", "pods")
    environment = {"AWS_ENDPOINT_URL_STS": f"http://{GATEWAY}:{sts.port}"}
    alias = ("--network", "pods", "--network-alias", "imds.imds.svc")
    pod = Pod(docker, "node", objects, tmp_path, environment=environment, network=alias)
    docker.run("network", "connect", "--alias", "imds.imds.svc", "outside", "node")
    pod.start(spec, spec["containers"][0])
    (shop,) = client["containers"]
    port = spec["containers"][0]["ports"][0]["containerPort"]  # no kube-proxy is here
    asked = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://imds.imds.svc:{port}/"}
    for network, role in (("pods", "shop"), ("outside", "nothing")):
        elsewhere = Pod(
            docker, f"client-{network}", objects, tmp_path, environment=asked, network=("--network", network)
        )
        assert elsewhere.run(client, shop, WHICH_ROLE).split() == [role, "1000"]


pytestmark = pytest.mark.timeout(180)
