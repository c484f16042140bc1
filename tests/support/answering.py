"""Daemons for tests of what goes over the wire."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from support.daemon import DaemonProcess, write_config, write_profile

if TYPE_CHECKING:
    from support.emulators import Moto

CONFIG = """\
    region: eu-west-1
    listen: ["http://127.0.0.1:0"]
    metadata_options: {{http_tokens: {mode}}}
    roles:
      app:
        role_arn: arn:aws:iam::111122223333:role/app
        source: {{profile: work}}
      "my+role@x=1,a.b_c-d":
        role_arn: arn:aws:iam::444455556666:role/odd
        source: {{role: app}}
      private:
        role_arn: arn:aws:iam::111122223333:role/private
        source: {{profile: work}}
    instances:
      default: {{role: app, roles: ["my+role@x=1,a.b_c-d"]}}
      other: {{role: private, roles: ["my+role@x=1,a.b_c-d"]}}
"""

LOOPS = ("uvloop", "asyncio")


def start(
    home: Path, moto: Moto, text: str, *, prefix: tuple[str, ...] = (), loop: str = LOOPS[0], ready: bool = True
) -> DaemonProcess:
    """Return a daemon with a configuration of its own in a new home; not started yet.

    Args:
        home: made unless it is there.
        moto: its STS.
        text: of the configuration.
        prefix: a command in front.
        loop: ``asyncio`` hides uvloop from it.
        ready: whether to wait until it is.
    """
    environment = {"AWS_ENDPOINT_URL_STS": moto.url}
    if not home.exists() or not (home / ".aws").exists():
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_profile(home)
    if loop == "asyncio":
        hidden = home / "hidden"
        hidden.mkdir(exist_ok=True)
        (hidden / "uvloop.py").write_text("raise ImportError('hidden')\n")
        environment["PYTHONPATH"] = str(hidden)
    config = write_config(home / "imds.yaml", text)
    arguments = ("serve", "-v", "--config", str(config))
    return DaemonProcess(home, *arguments, environment=environment, prefix=prefix, ready=ready)
