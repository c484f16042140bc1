"""The command ``imds``: one module per command group, each imported only when it is used."""

from __future__ import annotations

import importlib
from typing import Final

import click

import imds

COMMANDS: Final = {
    "serve": "imds.cli.serve",
    "demo": "imds.cli.demo",
    "check-config": "imds.cli.check_config",
    "exec": "imds.cli.run_command",
    "env": "imds.cli.print_environment",
    "status": "imds.cli.status",
    "roles": "imds.cli.roles:roles",
    "use": "imds.cli.roles:use",
    "refresh": "imds.cli.roles:refresh",
    "lease": "imds.cli.lease:lease",
    "leases": "imds.cli.lease:leases",
    "revoke": "imds.cli.lease:revoke",
    "activate": "imds.cli.activate:activate",
    "approve": "imds.cli.activate:approve",
    "deactivate": "imds.cli.activate:deactivate",
    "revoke-policy": "imds.cli.revoke_policy",
    "audit": "imds.cli.audit",
    "explain": "imds.cli.explain",
    "doctor": "imds.cli.doctor",
    "conformance": "imds.cli.conformance",
    "simulate": "imds.cli.simulate",
    "identity-certificate": "imds.cli.identity_certificate",
    "mfa": "imds.cli.mfa",
    "reload": "imds.cli.reload",
    "address": "imds.cli.address",
    "service": "imds.cli.service",
    "completion": "imds.cli.completion",
}


class _LazyGroup(click.Group):
    """Imports a command's module when the command is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        module, _, name = COMMANDS.get(cmd_name, "").partition(":")
        return getattr(importlib.import_module(module), name or "command") if module else None


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(imds.__version__, "-V", "--version", prog_name="imds")
def main() -> None:
    """Give AWS credentials to unmodified clients, as an EC2 instance does.

    \b
    imds demo                     try it, without an AWS account
    imds serve --profile work     serve a profile of ~/.aws to your own processes
    imds exec admin -- aws s3 ls  run one command with one role
    """
