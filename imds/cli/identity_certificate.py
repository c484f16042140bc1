"""``imds identity-certificate``: the certificate with which identity documents can be verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from imds.cli.control_client import find_daemon
from imds.cli.options import fail, socket_option
from imds.core.errors import ImdsError

if TYPE_CHECKING:
    from pathlib import Path


@click.command("identity-certificate")
@socket_option
def command(*, socket_path: Path | None) -> None:
    """Print the certificate (PEM) of the key that signs instance identity documents.

    The key is this daemon's own. Who trusts AWS's certificates does not trust it, and should not: it attests nothing.

    \b
    imds identity-certificate > imds.pem
    IMDS=http://127.0.0.1:9254/latest
    TOKEN=$(curl -sX PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" $IMDS/api/token)
    (echo "-----BEGIN PKCS7-----"
     curl -sH "X-aws-ec2-metadata-token: $TOKEN" $IMDS/dynamic/instance-identity/rsa2048; echo
     echo "-----END PKCS7-----") | openssl smime -verify -inform PEM -certfile imds.pem -noverify
    """
    try:
        click.echo(find_daemon(socket_path).call("GET", "identity-certificate")["certificate"], nl=False)
    except ImdsError as error:
        fail(error)
