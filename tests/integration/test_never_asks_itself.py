"""The daemon never takes credentials from a metadata service: one of them is itself."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.daemon import DaemonProcess, write_config, write_profile
from support.namespaces import needs_root

ROLE = "arn:aws:iam::111122223333:role/app"
CASES = {
    "default chain": {},
    "a profile with nothing": {"region": "eu-west-1"},
    "Ec2InstanceMetadata": {"role_arn": ROLE, "credential_source": "Ec2InstanceMetadata"},
    "EcsContainer": {"role_arn": ROLE, "credential_source": "EcsContainer"},
    "behind another profile": {"role_arn": ROLE, "source_profile": "inner"},
    "defaults_mode": {"aws_access_key_id": "AKIA1", "aws_secret_access_key": "abcd", "defaults_mode": "auto"},
}


class Counting:
    """A metadata service that counts who asks and gives nothing."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.hits: list[str] = []
        self._server = ThreadingHTTPServer((host, port), _handler(self.hits))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self._server.server_address[:2])

    def __enter__(self) -> Counting:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(hits: list[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(f"{self.command} {self.path}")
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PUT = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def prepare(home, case: str, endpoint: str | None) -> list[str]:
    """Write the profiles and the configuration of a case; return the command's arguments."""
    values = CASES[case] | ({"ec2_metadata_service_endpoint": endpoint} if endpoint else {})
    (home / ".aws" / "config").unlink()
    write_profile(home, "inner", role_arn=ROLE, credential_source="Ec2InstanceMetadata")
    write_profile(home, "tested", **values or {"output": "json"})
    if case == "default chain":
        return ["serve", "--listen", "http://127.0.0.1:0"]
    text = "listen: ['http://127.0.0.1:0']\nroles:\n  own: {source: {profile: tested}}\n"
    text += f"  app: {{role_arn: '{ROLE}', source: {{profile: tested}}}}\ninstances: {{default: {{role: app}}}}\n"
    return ["serve", "--config", str(write_config(home / "imds.yaml", text))]


def around(url: str) -> dict[str, str]:
    """Return an environment that leads every SDK to a metadata service."""
    return {
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": url,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/container",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "something",
    }


@pytest.mark.parametrize("case", CASES)
def test_by_environment(home, sts, case):
    """No variable and no profile makes the daemon ask a metadata service; its roles fail as configuration instead."""
    with Counting() as metadata:
        environment = around(metadata.url) | {"AWS_ENDPOINT_URL_STS": sts.url}
        with DaemonProcess(home, *prepare(home, case, metadata.url), environment=environment) as daemon:
            failures = [role["failure"] for role in daemon.status()["roles"]]
    assert metadata.hits == []
    if case == "defaults_mode":
        assert failures == [None, None]
    else:
        assert {failure["action"] for failure in failures} == {"config"}


def test_exec_and_children(home, sts):
    """Neither ``exec`` without a daemon nor a program that a profile starts is led to a metadata service."""
    program = home / "program.sh"
    program.write_text("#!/bin/sh\nenv >" + str(home / "seen") + "\nexit 1\n")
    program.chmod(0o755)
    (home / ".aws" / "config").unlink()
    write_profile(home, "default", credential_process=str(program))
    with Counting() as metadata:
        variables = around(metadata.url) | {"AWS_ENDPOINT_URL_STS": sts.url}
        idle = DaemonProcess(home)
        idle.environment |= variables | {"AWS_PROFILE": "default"}
        idle.imds("exec", "--", "true", check=False)
        assert metadata.hits == []
    seen = (home / "seen").read_text()
    assert "AWS_EC2_METADATA_DISABLED=true" in seen
    assert metadata.url not in seen


@needs_root
@pytest.mark.parametrize("case", CASES)
def test_at_the_addresses_themselves(home, namespace, case):
    """With a metadata service at EC2's, ECS's and EKS's own addresses, no request reaches any of them."""
    hosts = ("169.254.169.254", "169.254.170.2", "169.254.170.23")
    servers = [namespace.call(Counting, host, 80) for host in hosts]
    environment = {
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/x",
        "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9",
    }
    with servers[0], servers[1], servers[2]:
        arguments = prepare(home, case, None)
        with DaemonProcess(home, *arguments, environment=environment, prefix=namespace.prefix) as daemon:
            assert all(role["failure"] for role in daemon.status()["roles"])
    assert [server.hits for server in servers] == [[], [], []]
