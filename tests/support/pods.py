"""Containers of an engine that have this machine's Python, and pods made of them as a manifest says.

No image can be fetched, so the program and its interpreter are mounted into the image of one static program.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.engines import IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.engines import Engine

PROJECT = Path(__file__).parents[2]
PYTHON = sys.executable
PATH = f"{Path(sys.executable).parent}:/usr/bin:/bin"
LIMITS = {"nofile": 1024, "nproc": 1024}
"""As any machine allows."""

WHICH_ROLE = """\
from botocore.utils import InstanceMetadataFetcher
import boto3, os
endpoint = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "")
config = {"ec2_metadata_service_endpoint": endpoint} if endpoint else {}
given = InstanceMetadataFetcher(config=config).retrieve_iam_role_credentials()
credentials = boto3.Session().get_credentials()
assert bool(given) == bool(credentials)
print(given.get("role_name", "nothing"), os.getuid())
"""


def python_mounts() -> list[str]:
    """Return what a container needs to run this program, as ``-v`` and compose write it."""
    wanted = [Path("/usr"), Path("/lib"), Path("/lib64"), Path(sys.base_prefix), Path(sys.prefix), PROJECT / "imds"]
    return [f"{path}:{path}:ro" for path in dict.fromkeys(wanted) if path.exists()]


def image_environment() -> dict[str, str]:
    """Return the variables that the image would have, with the mounted program first in its path."""
    text = (PROJECT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ")
    (line,) = re.findall(r"^ENV (.*)$", text, flags=re.MULTILINE)
    return dict(word.split("=", 1) for word in line.split()) | {"PATH": PATH}


class Pod:
    """A pod of a manifest, in one network namespace; ``name`` is its containers' prefix.

    Args:
        environment: further variables of every container.
        network: options of the engine that say which network the pod is in.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        documents: list[dict[str, Any]],
        folder: Path,
        *,
        environment: dict[str, str],
        network: tuple[str, ...] = (),
    ) -> None:
        self._engine = engine
        self._name = name
        self._documents = documents
        self._folder = folder
        self._environment = environment
        self._network = network
        engine.run("run", "--detach", "--name", name, *_limits(), *network, IMAGE, "/bin/busybox", "sleep", "600")

    def start(self, spec: dict[str, Any], container: dict[str, Any]) -> None:
        """Start one container of a pod's ``spec``, and wait for its probe."""
        name = f"{self._name}-{container['name']}"
        flags = list(self._flags(spec, container))
        command = [PYTHON, "-P", "-m", "imds", *container["args"]]
        self._engine.run("run", "--detach", "--name", name, *flags, IMAGE, *command)
        probe = container.get("startupProbe") or container["readinessProbe"]
        self._engine.until_it_answers(name, *probe["exec"]["command"])

    def run(self, spec: dict[str, Any], container: dict[str, Any], program: str, **changes: Any) -> str:
        """Return what a Python program prints in place of a container's own."""
        changed = container | {"securityContext": container.get("securityContext", {}) | changes}
        flags = self._flags(spec, changed)
        return self._engine.run("run", "--rm", *flags, IMAGE, PYTHON, "-P", "-c", program)

    def _flags(self, spec: dict[str, Any], container: dict[str, Any]) -> Iterator[str]:
        yield f"--network=container:{self._name}"
        yield from _limits()
        security = spec.get("securityContext", {}) | container.get("securityContext", {})
        yield f"--user={security['runAsUser']}:{security.get('runAsGroup', 0)}"
        yield from ["--read-only"] * bool(security.get("readOnlyRootFilesystem"))
        yield from ["--security-opt=no-new-privileges"] * (not security["allowPrivilegeEscalation"])
        yield from (f"--cap-drop={name}" for name in security["capabilities"]["drop"])
        image = image_environment() if container["image"] == "imds" else {"PATH": PATH}
        variables = image | {one["name"]: one["value"] for one in container["env"]} | self._environment
        yield from (f"--env={name}={value}" for name, value in variables.items())
        yield from (f"--volume={mount}" for mount in python_mounts())
        volumes = {one["name"]: one for one in spec.get("volumes", [])}
        for mount in container.get("volumeMounts", []):
            yield self._volume(volumes[mount["name"]], mount["mountPath"])

    def _volume(self, volume: dict[str, Any], path: str) -> str:
        if "emptyDir" in volume:
            return f"--tmpfs={path}:mode=1777"
        folder = self._folder / self._name / volume["name"]
        folder.mkdir(parents=True, exist_ok=True)
        if "configMap" in volume:
            name = volume["configMap"]["name"]
            data = next(
                one["data"] for one in self._documents if one["kind"] == "ConfigMap" and one["metadata"]["name"] == name
            )
        else:
            assert volume["projected"]["defaultMode"] == 0o444
            token = volume["projected"]["sources"][0]["serviceAccountToken"]
            assert token["audience"] == "sts.amazonaws.com"
            data = {token["path"]: "header.payload.signature"}
        for name, text in data.items():
            (folder / name).write_text(text)
            os.chmod(folder / name, 0o444)  # noqa: PTH101 - as the kubelet
        return f"--volume={folder}:{path}:ro"


def _limits() -> list[str]:
    return [f"--ulimit={name}={most}:{most}" for name, most in LIMITS.items()]
