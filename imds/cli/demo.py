"""``imds demo``: the daemon against an embedded STS emulator; no AWS account needed."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imds.cli.announcing import client_line
from imds.cli.options import fail, template_variables
from imds.cli.running import Plan, leave, run
from imds.host import logs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from imds.config.schema import Config
    from imds.core.credentials import Credentials
    from imds.daemon import Daemon
    from imds.daemon.surroundings import Surroundings

REGION = "eu-west-1"
NO_PROXY = "127.0.0.1,localhost"
FAST = timedelta(seconds=10)
CONFIG = """\
region: eu-west-1
persist_sessions: none
listen:
  - {listen}
roles:
  app:                      # the role that clients get
    role_arn: arn:aws:iam::111122223333:role/app
    source: {{profile: demo}}
    role_session_name: "{{user}}-{{host}}"
  audited:                  # a role in another account, assumed by the first (role chaining)
    role_arn: arn:aws:iam::444455556666:role/audited
    source: {{role: app}}
"""
PROFILE = "[demo]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = made-up-for-the-demo\n"


@click.command("demo")
@click.option("--listen", default="http://127.0.0.1:9254", show_default=True, metavar="URL", help="Where clients ask.")
@click.option("--fast", is_flag=True, help="Renew the sessions every ten seconds, to watch it.")
def command(*, listen: str, fast: bool) -> None:
    """Try the daemon without an AWS account.

    An STS emulator (moto, extra "demo") plays AWS. Everything ends with Ctrl-C.

    \b
    imds demo
    imds demo --fast
    """
    try:
        from moto.server import ThreadedMotoServer  # noqa: PLC0415 - an extra
    except ImportError:
        fail("the demo needs its extra: pip install 'imds-server[demo]'", status=1)
    logs.configure("text", verbose=False, journal=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    emulator = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    emulator.start()
    try:
        with tempfile.TemporaryDirectory(prefix="imds-demo-") as directory:
            sts = "http://{}:{}".format(*emulator.get_host_and_port())
            _run(Path(directory), listen=listen, sts=sts, fast=fast)
    finally:
        emulator.stop()
    leave()


def _run(directory: Path, *, listen: str, sts: str, fast: bool) -> None:
    config_file, profiles = directory / "config.yaml", directory / "credentials"
    config_file.write_text(CONFIG.format(listen=listen))
    profiles.write_text(PROFILE)
    os.environ |= {
        "AWS_SHARED_CREDENTIALS_FILE": str(profiles),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_ENDPOINT_URL_STS": sts,
        "NO_PROXY": NO_PROXY,
        "no_proxy": NO_PROXY,
    }
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"):
        os.environ.pop(name, None)

    def load() -> Config:
        from imds.config import loading  # noqa: PLC0415 - with the daemon

        return loading.load(config_file, variables=template_variables(), uid=os.getuid())

    def surroundings(_config: Config) -> Surroundings:
        from imds.aws.environment import never_ask_ourselves  # noqa: PLC0415 - with the daemon
        from imds.daemon.surroundings import Surroundings  # noqa: PLC0415 - aiohttp is slow to import

        never_ask_ourselves(os.environ)
        control = directory / "control.sock"
        return Surroundings(environment={}, state_directory=directory, control_socket=control, uid=os.getuid())

    def announce(daemon: Daemon) -> None:
        for line in _lines(daemon, sts, directory):
            click.echo(line)

    run(
        Plan(
            load=load,
            surroundings=surroundings,
            announce=announce,
            schedule=_every_ten_seconds if fast else None,
        )
    )


def _lines(daemon: Daemon, sts: str, directory: Path) -> Iterator[str]:
    program = _program()
    endpoint = client_line([address.url for address in daemon.addresses]) or ""
    yield ""
    yield "imds is running. Paste this into another terminal:"
    yield ""
    yield (
        "  unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_PROFILE AWS_DEFAULT_PROFILE"
        " AWS_ROLE_ARN AWS_WEB_IDENTITY_TOKEN_FILE AWS_CONTAINER_CREDENTIALS_FULL_URI"
        " AWS_CONTAINER_CREDENTIALS_RELATIVE_URI AWS_EC2_METADATA_DISABLED AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
    )
    yield (
        f"  export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_REGION={REGION}"
        f" AWS_DEFAULT_REGION={REGION} AWS_ENDPOINT_URL_STS={sts} NO_PROXY={NO_PROXY} no_proxy={NO_PROXY}"
        f" IMDS_CONTROL_SOCKET={directory}/control.sock"
    )
    yield f"  {endpoint}"
    yield ""
    yield "and then, with any AWS client you have:"
    yield ""
    yield "  aws sts get-caller-identity                            # role app, account 111122223333"
    yield f"  {program} exec audited -- aws sts get-caller-identity       # role audited, account 444455556666"
    yield f"  {program} status"
    yield ""
    yield "Ctrl-C ends the demo."


def _program() -> str:
    """Return how another terminal calls this program."""
    if shutil.which("imds"):
        return "imds"
    script = Path(sys.argv[0]).absolute()
    return str(script) if script.name == "imds" else f"{sys.executable} -m imds"


def _every_ten_seconds(_credentials: Credentials, now: datetime, _random: Random) -> datetime:
    return now + FAST
