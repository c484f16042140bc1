"""The control socket for a group: what the rules give, and never control of the daemon."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
from support.answering import CONFIG, start

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("curl") is None, reason="needs root, to act as other users, and curl"
)

GROUP, MEMBER = "daemon", 12
RULES = """\
    control_socket: {socket}
    control_group: daemon
    callers:
      - {{match: {{user: "12"}}, instance: default}}
      - {{match: {{user: "0"}}, instance: default}}
"""


def ask(path: Path, method: str, verb: str, *, uid: int, gid: str | int) -> tuple[int, dict]:
    """Return status and answer to a request of another user."""
    command = ["curl", "-sS", "-X", method, "--unix-socket", path, "-w", "\n%{http_code}", f"http://imds/v1/{verb}"]
    done = subprocess.run(
        command, user=uid, group=gid, extra_groups=[], capture_output=True, text=True, timeout=30, check=False
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status or 0), json.loads(body) if body else {"error": done.stderr}


def test_members_of_the_group_get_what_the_rules_give_them(tmp_path, moto_server):
    """A member sees its roles and controls nothing, whatever its instance says; who is no member is kept out."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "control.sock"
        text = CONFIG.format(mode="optional") + RULES.format(socket=path)
        with start(tmp_path, moto_server, text) as daemon:
            status = path.stat()
            assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o660, 0)
            code, answer = ask(path, "GET", "status", uid=MEMBER, gid=GROUP)
            assert (code, [role["name"] for role in answer["roles"]]) == (200, ["app", "my+role@x=1,a.b_c-d"])
            for verb in ("reload", "refresh", "simulations"):
                assert ask(path, "POST", verb, uid=MEMBER, gid=GROUP)[0] == 403
            assert ask(path, "GET", "status", uid=54321, gid=GROUP)[0] == 403  # in the group, and no rule means it
            assert ask(path, "GET", "status", uid=MEMBER, gid=54321)[0] == 0  # the kernel keeps it out
            assert daemon.imds("reload", "--socket", str(path)).returncode == 0
