"""What the README promises is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

from support import wire

from imds.cli import COMMANDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_command_table_is_the_command_line():
    """The README's table has exactly the commands that exist."""
    assert re.findall(r"^\| `imds ([a-z-]+)` \|", README, flags=re.MULTILINE) == list(COMMANDS)


def test_every_request_of_the_table_is_answered(served):
    """Each metadata path of the README's table answers 200 with something in it."""
    rows = re.findall(r"^\| `(GET|PUT) (\S+)` \|", README, flags=re.MULTILINE)
    assert len(rows) > 10
    for method, row in rows:
        path = row.replace("{role}", "audited")
        if method == "GET" and not path.startswith(("/v1", "/v2", "/role")):
            reply = wire.get(served.address, path)
            assert (reply.status, reply.body != b"") == (200, True), path


def test_every_container_path_of_the_table_is_answered(served):
    """Each container-credentials path of the README's table gives the role that the token is for."""
    lines = served.imds("env", "audited", "--shell", "dotenv").stdout.splitlines()
    variables = dict(line.split("=", 1) for line in lines if line.startswith("AWS_CONTAINER"))
    token_id = variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"].rpartition("/")[2]
    paths = re.findall(r"^\| `GET (/(?:v1|v2|role)\S*)` \|", README, flags=re.MULTILINE)
    assert len(paths) == 3
    for row in paths:
        path = row.replace("{id}", token_id).replace("{role}", "audited")
        headers = {"Authorization": variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"], "Connection": "close"}
        reply = wire.exchange(served.address, wire.request("GET", path, headers))
        assert json.loads(reply.body)["RoleArn"] == "arn:aws:iam::444455556666:role/audited", path


def test_local_links_lead_somewhere():
    """Every relative link in the Markdown files names a file that exists."""
    files = [*(ROOT / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md")), *(ROOT / "docs").glob("*.md")]
    for file in files:
        for target in re.findall(r"\]\((?!http)([^)#]+)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name}: {target}"
