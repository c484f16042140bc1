"""Mistakes that were made once."""

from __future__ import annotations

import pytest
from support import wire
from support.daemon import DaemonProcess, write_config

from imds.aws.errors import _short
from imds.aws.programs import run_program
from imds.cli.client_environment import changes
from imds.core.errors import CredentialsError

CONFIG = """\
    region: eu-west-1
    listen: ["http://127.0.0.1:0"]
    roles:
      app: {role_arn: "arn:aws:iam::111122223333:role/app", source: {profile: work}}
"""


def test_a_configuration_that_is_gone_changes_nothing(home, moto_server):
    """A daemon that found its file by searching keeps to it: without it a reload fails, it serves no bare profile."""
    config = write_config(home / "config" / "imds" / "config.yaml", CONFIG)
    with DaemonProcess(home, "serve", environment={"AWS_ENDPOINT_URL_STS": moto_server.url}) as daemon:
        config.unlink()
        assert daemon.imds("reload", check=False).returncode == 78
        assert wire.get(daemon.address, "/latest/meta-data/iam/security-credentials/").body == b"app"


def test_aws_may_repeat_what_was_signed():
    """AWS's words about a wrong signature can hold the source's session token; they are cut before it."""
    said = (
        "The request signature we calculated does not match. The Canonical String for this request should have been 'x'"
    )
    assert _short(said) == "The request signature we calculated does not match."


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY", "AWS_SECRET_KEY", "AMAZON_ACCESS_KEY_ID", "AWS_CREDENTIAL_FILE"])
def test_lesser_known_keys_are_taken_away(name):
    """Variables that only some SDKs read must not win over the role either."""
    changed = changes({name: "x"}, url="http://127.0.0.1/", token="t", region=None).applied_to({name: "x"})
    assert name not in changed


def test_a_program_that_leaves_a_child_behind(home):
    """A credential_process whose detached child keeps the output open is given up like one that hangs."""
    script = home / "program"
    script.write_text("#!/bin/sh\nsetsid sleep 20 &\n")
    script.chmod(0o700)
    with pytest.raises(CredentialsError, match=r"did not end within 0\.5 s"):
        run_program([str(script)], timeout=0.5)
