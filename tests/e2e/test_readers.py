"""Unmodified programs that read an instance's metadata, at EC2's address, on what looks like an instance to them.

cloud-init, boto 2, facter, ohai and ec2-metadata read all that is listed; each must see what the daemon's tree says,
and none may carry off credentials that it does not ask for.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support import wire
from support.clients import PROGRAMS, client_node, client_python
from support.crawler import crawl, nested
from support.daemon import DaemonProcess, write_config, write_profile
from support.engines import IMAGE, Engine
from support.fakes import KNOWN_SECRETS
from support.instance import ADDRESS, READERS, Instance, add_interfaces, program, system_python
from support.namespaces import Namespace, needs_root
from support.sts import StandInSts, error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = needs_root

ACCOUNT_ID = "111122223333"
FIRST, SECOND = MACS = ("0e:49:61:0f:c3:11", "0e:49:61:0f:c3:12")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN3gTQOPRYnqsYCLLHkdLxNvTSGOmPE2vSKZRSfJ9QYX my-key"
USER_DATA = "#!/bin/sh\necho hello\n"
CONFIG = f"""\
    region: eu-west-1
    listen: ["http://169.254.169.254:80", "http://[fd00:ec2::254]:80"]
    metadata_options: {{http_tokens: optional}}
    roles:
      app: {{role_arn: "arn:aws:iam::{ACCOUNT_ID}:role/app", source: {{profile: work}}}}
      agent: {{role_arn: "arn:aws:iam::{ACCOUNT_ID}:role/agent", source: {{profile: work}}}}
    instances:
      default:
        role: app
        identity_role: agent
        user_data: "#!/bin/sh\\necho hello\\n"
        metadata:
          tags: {{Name: laptop, team: payments}}
          public-keys: {{my-key: "{KEY}"}}
          mac: "{FIRST}"
          local-ipv4: 10.0.1.10
          public-ipv4: 192.0.2.54
          ipv6: "2001:db8::10"
          network:
            interfaces:
              macs:
                "{FIRST}": {{subnet-ipv4-cidr-block: 10.0.1.0/24}}
                "{SECOND}":
                  device-number: 1
                  local-ipv4s: [10.0.2.10, 10.0.2.11]
                  subnet-ipv4-cidr-block: 10.0.2.0/24
"""


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A daemon at EC2's address, in a network with the interfaces that its tree tells of."""
    home = tmp_path_factory.mktemp("readers")
    write_profile(home)
    config = write_config(home / "imds.yaml", CONFIG)
    with Namespace("r") as namespace, StandInSts(namespace=namespace) as sts:
        add_interfaces(namespace, *MACS)
        environment = {"AWS_ENDPOINT_URL_STS": sts.url}
        arguments = ("serve", "--config", str(config))
        with DaemonProcess(home, *arguments, environment=environment, prefix=namespace.prefix) as daemon:
            yield Instance.made(namespace, daemon)


def holds_no_secret(text: str) -> bool:
    """Whether none of the session's secrets is in a text."""
    return not any(secret in text for secret in KNOWN_SECRETS)


def test_every_listed_path_answers(instance):
    """Whatever a listing names is there, with a text, in every version and without a session token alike."""
    assert [path for path, text in instance.leaves.items() if not text] == []
    without_token = instance.namespace.call(lambda: crawl(ADDRESS))
    assert without_token == instance.leaves
    token = instance.namespace.call(wire.get_token, ADDRESS)
    for version in ("2009-04-04", "2021-03-23"):
        assert instance.namespace.call(lambda of: crawl(ADDRESS, version=of, token=token), version) == instance.leaves


def test_credentials_are_listed_where_crawlers_leave_them_out(instance):
    """Only ``security-credentials``, which crawlers know to leave out, leads to a secret."""
    leading = {path for path, text in instance.leaves.items() if not holds_no_secret(text)}
    assert leading == {
        "meta-data/iam/security-credentials/app",
        "meta-data/identity-credentials/ec2/security-credentials/ec2-instance",
    }


def test_cloud_init(instance, tmp_path):
    """cloud-init takes the machine for an AWS instance, reads the whole tree, and keeps no credentials of it."""
    told = cloud_init(instance, tmp_path)
    assert (told["found"], told["platform"]) == (True, "aws")
    assert told["meta-data"] == nested(instance.leaves, "meta-data/")
    assert told["document"] == json.loads(instance.leaves["dynamic/instance-identity/document"])
    assert told["user-data"] == USER_DATA
    assert told["public-keys"] == [KEY]
    assert told["instance-id"] == instance.leaf("instance-id")
    assert (told["region"], told["availability-zone"]) == ("eu-west-1", "eu-west-1a")
    assert told["launch-index"] == "0"
    assert told["hostname"][0] == instance.leaf("local-hostname")
    assert told["root-device"] == instance.leaf("block-device-mapping/root")
    assert told["meta-data"]["tags"]["instance"] == {"Name": "laptop", "team": "payments"}
    kept = [file for file in tmp_path.rglob("*") if file.is_file() and not holds_no_secret(file.read_text())]
    assert kept == []


def test_cloud_init_sets_up_both_interfaces(instance, tmp_path):
    """From the tree, cloud-init gives each interface its metric, and the second one its second address."""
    told = cloud_init(instance, tmp_path)
    first = {
        "dhcp4": True,
        "dhcp4-overrides": {"route-metric": 100},
        "dhcp6": True,
        "dhcp6-overrides": {"route-metric": 100},
        "match": {"macaddress": FIRST},
        "set-name": "ens5",
    }
    second = {
        "addresses": ["10.0.2.11/24"],
        "dhcp4": True,
        "dhcp4-overrides": {"route-metric": 200},
        "dhcp6": False,
        "match": {"macaddress": SECOND},
        "set-name": "ens6",
    }
    assert told["network"] == {"version": 2, "ethernets": {"ens5": first, "ens6": second}}


def test_boto_2(instance, tmp_path):
    """Boto 2, which knows IMDSv1 only, reads all there is."""
    told = json.loads(instance.run([system_python("boto"), str(READERS / "boto2_metadata.py")], tmp_path))
    expected = nested(instance.leaves, "meta-data/", without="")
    expected["public-keys"]["my-key"].append("")  # it splits the line at its end
    assert told["meta-data"] == expected
    document = told["instance-identity"].pop("document")
    assert document == json.loads(instance.leaves["dynamic/instance-identity/document"])
    for name, text in told["instance-identity"].items():
        assert text == instance.leaves[f"dynamic/instance-identity/{name}"]
    assert told["user-data"] == USER_DATA


def test_ec2_metadata(instance, tmp_path):
    """The Python package ec2-metadata has a value for every property but those of what the instance has not."""
    python = client_python("ec2_metadata")
    told = json.loads(instance.run([str(python), str(READERS / "ec2_metadata_properties.py")], tmp_path))
    absent = {name for name, value in told.items() if value is None}
    assert absent == {"autoscaling_target_lifecycle_state", "kernel_id", "spot_instance_action"}
    assert (told["account_id"], told["region"]) == (ACCOUNT_ID, "eu-west-1")
    assert told["iam_security_credentials"]["Code"] == "Success"
    assert told["instance_profile_name"] == "app"
    assert told["tags"] == {"Name": "laptop", "team": "payments"}
    assert told["public_keys"]["my-key"]["openssh_key"].strip() == KEY
    assert told["public_ipv4"] == "192.0.2.54"
    assert told["user_data"] == USER_DATA
    first, second = (told["network_interfaces"][mac] for mac in MACS)
    assert (first["device_number"], second["device_number"]) == (0, 1)
    assert first["interface_id"] != second["interface_id"]
    assert first["owner_id"] == second["owner_id"] == ACCOUNT_ID
    assert first["ipv4_associations"] == {"192.0.2.54": ["10.0.1.10"]}
    assert first["ipv6s"] == ["2001:db8::10"]
    assert second["private_ipv4s"] == ["10.0.2.10", "10.0.2.11"]
    assert second["public_ipv4s"] == []


def test_ec2metadata_of_cloud_utils(instance, tmp_path):
    """Debian's ec2metadata prints everything by the API of 2009."""
    printed = instance.run([program("ec2metadata")], tmp_path)
    lines = dict(line.split(": ", 1) for line in printed.splitlines() if ": " in line)
    assert {name for name, value in lines.items() if value == "unavailable"} == {
        *("ancestor-ami-ids", "group-name", "host-id", "kernel-id", "partition-number", "product-codes", "ramdisk-id"),
    }
    assert lines["instance-id"] == instance.leaf("instance-id")
    assert lines["public-keys"] == str([KEY])
    assert lines["user-data"] == str(USER_DATA.encode())
    assert lines["region"] == "eu-west-1"


def test_ec2_metadata_of_amazon(instance, tmp_path):
    """Amazon Linux's ec2-metadata, a script with curl, shows disks, keys and tags as it does on EC2."""
    printed = instance.run([program("ec2-metadata")], tmp_path)
    missing = {line.partition(":")[0] for line in printed.splitlines() if line.endswith(": not available")}
    assert missing == {"ancestor-ami-ids", "kernel-id", "product-codes", "ramdisk-id"}
    assert f"instance-id: {instance.leaf('instance-id')}\n" in printed
    assert f"\t root: {instance.leaf('block-device-mapping/root')}\n" in printed
    assert f"keyname:my-key\nindex:0\nformat:openssh-key\nkey:(begins from next line)\n{KEY}\n" in printed
    assert "tags: \n\t Name: laptop\n\t team: payments\n" in printed


def test_facter(instance, tmp_path):
    """Facter's facts of EC2 are the tree, without credentials."""
    printed = instance.run([program("facter"), "--json", "ec2_metadata", "ec2_userdata", "cloud"], tmp_path)
    told = json.loads(printed)
    assert told["cloud"] == {"provider": "aws"}
    assert told["ec2_userdata"] == USER_DATA.strip()
    facts = told["ec2_metadata"]
    assert facts["instance-id"] == instance.leaf("instance-id")
    assert facts["public-keys"] == {"0": {"openssh-key": KEY}}
    assert facts["tags"] == {"instance": {"Name": "laptop", "team": "payments"}}
    assert set(facts["network"]["interfaces"]["macs"]) == set(MACS)
    assert facts["block-device-mapping"] == nested(instance.leaves, "meta-data/")["block-device-mapping"]
    assert set(facts) == set(nested(instance.leaves, "meta-data/"))
    assert holds_no_secret(printed)


def test_ohai(instance, tmp_path):
    """Ohai's plugin for EC2 keeps the tree, the account and the role's name, without credentials."""
    printed = instance.run([program("ohai"), "ec2"], tmp_path)
    told = json.loads(printed)
    assert (told["account_id"], told["region"], told["availability_zone"]) == (ACCOUNT_ID, "eu-west-1", "eu-west-1a")
    assert told["iam"]["role_name"] == "app"
    assert told["instance_id"] == instance.leaf("instance-id")
    assert told["public_keys_0_openssh_key"].strip() == KEY
    assert told["tags_instance_Name"] == "laptop"
    assert told["security_groups"] == instance.leaf("security-groups").split("\n")
    assert set(told["network_interfaces_macs"]) == set(MACS)
    assert told["userdata"] == USER_DATA
    assert holds_no_secret(printed)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_metadata_service_of_javascript(version, instance, tmp_path):
    """The MetadataService of AWS SDK for JavaScript reads any path, with a session token and without."""
    paths = [path for path in instance.leaves if "credentials/" not in path and "public-keys/" not in path]
    node = client_node("@aws-sdk/ec2-metadata-service")
    asked = [f"/latest/{path}" for path in paths]
    told = json.loads(instance.run([node, str(PROGRAMS / "metadata_paths.mjs"), version, *asked], tmp_path))
    assert told == {f"/latest/{path}": instance.leaves[path] for path in paths}


def test_terraform_finds_the_account(instance, tmp_path):
    """Terraform, whose SDK is Go's, learns the account from the instance profile; no other service is there to ask."""
    nobody = "http://127.0.0.1:9"
    backend = {
        "bucket": "state",
        "key": "state",
        "region": "eu-west-1",
        "allowed_account_ids": ["999999999999"],
        "skip_credentials_validation": True,
        "endpoints": {"iam": nobody, "s3": nobody, "sts": nobody},
        "max_retries": 0,
    }
    (tmp_path / "main.tf.json").write_text(json.dumps({"terraform": {"backend": {"s3": backend}}}))
    (tmp_path / "rc").touch()
    alone = {"TF_CLI_CONFIG_FILE": str(tmp_path / "rc"), "CHECKPOINT_DISABLE": "1"}
    done = instance.attempt([program("terraform"), "init", "-no-color", "-input=false"], tmp_path, **alone)
    assert f"AWS account ID not allowed: {ACCOUNT_ID}" in done.stderr


def test_dockers_log_driver_finds_the_region(tmp_path):
    """Docker's driver for CloudWatch, whose SDK is Go's, signs for the region that the identity document tells."""
    write_profile(tmp_path)
    config = write_config(tmp_path / "imds.yaml", CONFIG)
    with Namespace("d") as namespace, StandInSts(namespace=namespace) as sts, Engine("docker", namespace) as docker:
        environment = {"AWS_ENDPOINT_URL_STS": sts.url}
        arguments = ("serve", "--config", str(config))
        with DaemonProcess(tmp_path, *arguments, environment=environment, prefix=namespace.prefix):
            sts.behaviour = error("AccessDeniedException")
            options = ("--log-driver=awslogs", "--log-opt=awslogs-group=g", f"--log-opt=awslogs-endpoint={sts.url}")
            docker.run("run", *options, IMAGE, "/bin/busybox", "true", check=False)
    assert set(sts.scopes) == {"eu-west-1/sts", "eu-west-1/logs"}


def cloud_init(instance: Instance, folder: Path) -> dict:
    """Return what cloud-init says of the instance; it keeps its files in ``folder``."""
    return json.loads(
        instance.run([system_python("cloudinit"), str(READERS / "cloud_init_ec2.py"), str(folder)], folder)
    )
