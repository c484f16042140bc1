"""Unmodified clients without any keys make a signed call that an emulator checks; each by every way that leads here.

endpoint         AWS_EC2_METADATA_SERVICE_ENDPOINT, as the daemon prints it
exec             imds exec ROLE -- client: container credentials, by their full address
token-file       imds env ROLE, with the authorization token in a file
hard-wired       http://169.254.169.254, which every client knows, in a network of its own
hard-wired-ipv6  http://[fd00:ec2::254], by the variable for the mode
hard-wired-exec  imds exec where the daemon listens on 169.254.170.2 and on no loopback address
relative-uri     AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, which means 169.254.170.2
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.accounts import ACCOUNT_ID, APP, AUDITED, Account
from support.clients import Client, Site
from support.daemon import DaemonProcess, write_config
from support.emulators import ministack
from support.namespaces import Namespace, needs_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HARD_WIRED = ("hard-wired", "hard-wired-ipv6", "hard-wired-exec", "relative-uri")
INSTANCE = ("endpoint", "hard-wired")
CONTAINER = ("exec", "token-file", "hard-wired-exec", "relative-uri")
SDK = ("endpoint", "exec", "token-file", *HARD_WIRED)

AWS_CLI = ("aws", "sts", "get-caller-identity", "--query", "Arn", "--output", "text")
JAVASCRIPT = "@aws-sdk/credential-providers"

CLIENTS = [
    Client("boto3", ("boto3_sts.py",), "boto3", SDK),
    Client("aws-cli", AWS_CLI, "awscli", SDK),
    Client("aiobotocore", ("aiobotocore_sts.py",), "aiobotocore", SDK),
    Client("awscrt", ("awscrt_sts.py",), "awscrt", SDK),
    Client("pyarrow-cpp", ("pyarrow_s3.py",), "pyarrow", SDK, writes=True),
    # it takes an authorization token from a file only
    Client("obstore-rust", ("obstore_s3.py",), "obstore", (*INSTANCE, "token-file"), writes=True),
    # without a file, its full address must be a loopback one
    Client("minio", ("minio_s3.py",), "minio", (*INSTANCE, "exec", "token-file", "relative-uri"), writes=True),
    Client("js-default-chain", ("sdk_provider.mjs",), JAVASCRIPT, SDK),
    Client("js-instance-metadata", ("sdk_provider.mjs", "fromInstanceMetadata"), JAVASCRIPT, INSTANCE),
    Client("js-http", ("sdk_provider.mjs", "fromHttp"), JAVASCRIPT, CONTAINER),
    Client(
        "js-container-metadata",
        ("sdk_provider.mjs", "fromContainerMetadata"),
        JAVASCRIPT,
        ("exec", "relative-uri"),  # of full addresses it takes 127.0.0.1 and localhost only
    ),
    Client("js-metadata-service", ("metadata_service.mjs",), "@aws-sdk/ec2-metadata-service", INSTANCE),
    Client("js-fetch", ("node_fetch.mjs",), "@aws-sdk/client-sts", INSTANCE),
]
PAIRS = [
    pytest.param(client, way, id=f"{client.name}-{way}", marks=[needs_root] if way in HARD_WIRED else [])
    for client in CLIENTS
    for way in client.ways
]
CONSUMERS = [
    pytest.param(client, profile, way, id=f"{client.name}-{profile}-{way}", marks=marks)
    for client in (
        Client("boto3", ("boto3_sts.py", "PROFILE"), "boto3", ()),
        Client("aws-cli", (*AWS_CLI, "--profile", "PROFILE"), "awscli", ()),
    )
    for profile, way, marks in (
        ("Ec2InstanceMetadata", "endpoint", []),
        ("Ec2InstanceMetadata", "hard-wired", [needs_root]),
        ("EcsContainer", "exec", []),
        ("EcsContainer", "relative-uri", [needs_root]),
    )
]

CONFIG = f"""\
    region: eu-west-1
    listen: %s
    roles:
      app: {{role_arn: "{APP}", source: {{profile: work}}, role_session_name: laptop}}
      audited: {{role_arn: "{AUDITED}", source: {{role: app}}, role_session_name: laptop}}
"""


def assumed(role: str, session: str = "laptop") -> str:
    """Return what STS calls a session."""
    return f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{role}/{session}"


@pytest.fixture(scope="module")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A daemon on a loopback port."""
    home = tmp_path_factory.mktemp("loopback")
    with ministack(CLOUDTRAIL_RECORDING="1") as emulator:
        account = Account(emulator)
        account.write_profile(home)
        config = write_config(home / "imds.yaml", CONFIG % '["http://127.0.0.1:0"]')
        environment = {"AWS_ENDPOINT_URL_STS": emulator.url}
        with DaemonProcess(home, "serve", "--config", str(config), environment=environment) as daemon:
            yield Site(emulator, account, daemon)


@pytest.fixture(scope="module")
def hard_wired(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A daemon on the addresses of EC2 and ECS, in a network that has them and no way out."""
    home = tmp_path_factory.mktemp("hard-wired")
    with Namespace("c") as namespace, ministack(namespace=namespace, CLOUDTRAIL_RECORDING="1") as emulator:
        account = Account(emulator)
        account.write_profile(home)
        addresses = '["http://169.254.169.254:80", "http://[fd00:ec2::254]:80", "http://169.254.170.2:80"]'
        config = write_config(home / "imds.yaml", CONFIG % addresses)
        environment = {"AWS_ENDPOINT_URL_STS": emulator.url}
        arguments = ("serve", "--config", str(config))
        with DaemonProcess(home, *arguments, environment=environment, prefix=namespace.prefix) as daemon:
            yield Site(emulator, account, daemon, namespace.prefix)


@pytest.fixture
def site(way: str, request: pytest.FixtureRequest) -> Site:
    """The daemon that a way leads to."""
    return request.getfixturevalue("hard_wired" if way in HARD_WIRED else "loopback")


@pytest.mark.parametrize(("client", "way"), PAIRS)
def test_a_client_signs_with_the_daemons_session(client: Client, way: str, site: Site, tmp_path: Path) -> None:
    """The emulator accepts what the client signed with the very session that the daemon holds."""
    answers: list[str] = []
    accepted = site.account.accepted_from(lambda: answers.append(lead(client.command_line(), way, site, tmp_path)))
    if client.writes:
        assert client.name in answers[0].splitlines()
    else:
        assert answers == [assumed("app")]
    assert {call["userIdentity"]["accessKeyId"] for call in accepted} == {site.access_key_ids["app"]}


@pytest.mark.parametrize(("client", "profile", "way"), CONSUMERS)
def test_a_profile_takes_the_daemon_as_its_source(
    client: Client, profile: str, way: str, site: Site, tmp_path: Path
) -> None:
    """A profile with ``credential_source`` assumes its role with the session that the daemon gives."""
    source = f"[profile {profile}]\nrole_arn = {AUDITED}\nrole_session_name = mine\ncredential_source = {profile}\n"
    write_config(tmp_path / ".aws" / "config", source)
    command = [profile if word == "PROFILE" else word for word in client.command_line()]
    answers: list[str] = []
    accepted = site.account.accepted_from(lambda: answers.append(lead(command, way, site, tmp_path)))
    assert answers == [assumed("audited", "mine")]
    first, second = ((call["requestParameters"]["Action"], call["userIdentity"]["accessKeyId"]) for call in accepted)
    assert first == ("AssumeRole", site.access_key_ids["app"])
    assert second[0] == "GetCallerIdentity"
    assert second[1] not in site.access_key_ids.values()


@pytest.mark.parametrize("way", ["exec", pytest.param("hard-wired-exec", marks=needs_root)])
def test_exec_gives_the_role_that_it_names(site: Site, tmp_path: Path) -> None:
    """``imds exec audited`` gives a client the chained role, although the default is another."""
    command = site.exec("audited", CLIENTS[0].command_line())
    answers: list[str] = []
    accepted = site.account.accepted_from(lambda: answers.append(site.run(command, tmp_path)))
    assert answers == [assumed("audited")]
    assert [call["userIdentity"]["accessKeyId"] for call in accepted] == [site.access_key_ids["audited"]]


@needs_root
def test_zero_configuration_serves_the_hard_wired_address(tmp_path: Path) -> None:
    """Without a configuration, a daemon in a network with 169.254.169.254 answers there too."""
    with Namespace("z") as namespace, ministack(namespace=namespace, CLOUDTRAIL_RECORDING="1") as emulator:
        account = Account(emulator)
        home = tmp_path / "daemon"
        account.write_profile(home)
        environment = {"AWS_ENDPOINT_URL_STS": emulator.url, "AWS_PROFILE": "work"}
        arguments = ("serve", "--role-arn", APP)
        with DaemonProcess(home, *arguments, environment=environment, prefix=namespace.prefix) as daemon:
            site = Site(emulator, account, daemon, namespace.prefix)
            answer = site.run(CLIENTS[0].command_line(), tmp_path)
        assert answer.startswith(assumed("app", ""))


def lead(command: list[str], way: str, site: Site, home: Path) -> str:
    """Run a client and return what it prints."""
    if way.endswith("exec"):
        return site.run(site.exec("app", command), home)
    return site.run(command, home, **variables(way, site, home))


def variables(way: str, site: Site, home: Path) -> dict[str, str]:
    """Return what leads a client to the daemon."""
    if way == "endpoint":
        assert site.daemon.url.endswith("/")
        # the second is what object_store calls it
        return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": site.daemon.url, "AWS_METADATA_ENDPOINT": site.daemon.url}
    if way == "hard-wired-ipv6":
        return {"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv6"}
    if way == "hard-wired":
        return {}
    lines = site.daemon.imds("env", "app", "--shell", "dotenv").stdout.splitlines()
    printed = dict(line.split("=", 1) for line in lines)
    url, token = (printed[f"AWS_CONTAINER_{name}"] for name in ("CREDENTIALS_FULL_URI", "AUTHORIZATION_TOKEN"))
    if way == "relative-uri":
        relative = url.removeprefix("http://169.254.170.2:80")
        return {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": relative, "AWS_CONTAINER_AUTHORIZATION_TOKEN": token}
    file = home / "token"
    file.write_text(token)
    return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": url, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(file)}
