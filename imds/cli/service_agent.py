"""``imds service`` where launchd runs the machine. Written from Apple's manual pages; it has not been run on a Mac."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import click

from imds.cli.options import fail
from imds.host.service import launchd


def wanted() -> bool:
    """Whether this system has launchd."""
    return sys.platform == "darwin"


def install(program: tuple[str, ...], *, user: bool, force: bool, dry_run: bool) -> None:
    """Write the agent and start it."""
    if not user:
        fail("on macOS imds runs as an agent of its user: imds service install --user")
    path = launchd.agent_path(Path.home())
    content = launchd.agent(program, Path.home())
    there = path.read_bytes() if path.exists() else None
    if there is not None and not launchd.is_ours(there) and not force:
        fail(f"{path} was not written by this command: move it away, or replace it with --force")
    if there == content:
        click.echo(f"{path} is as it should be")
        return
    load, unload = launchd.load(os.getuid(), path), launchd.unload(os.getuid())
    click.echo(f"  {'write' if there is None else 'update'} {path}")
    click.echo(
        "".join(f"  {shlex.join(words)}\n" for words in ([unload] if there is not None else []) + [load]), nl=False
    )
    if dry_run:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if there is not None:
        _run(unload, may_fail=True)
    _run(load)


def uninstall(*, user: bool, dry_run: bool) -> None:
    """End the agent and remove it."""
    path = launchd.agent_path(Path.home())
    if not user or not path.exists() or not launchd.is_ours(path.read_bytes()):
        click.echo("no agent of this command is installed (--user)")
        return
    unload = launchd.unload(os.getuid())
    click.echo(f"  {shlex.join(unload)}\n  remove {path}")
    if not dry_run:
        _run(unload, may_fail=True)
        path.unlink()


def status(*, as_json: bool) -> None:
    """Show whether the agent is there and runs."""
    path = launchd.agent_path(Path.home())
    target = f"gui/{os.getuid()}/{launchd.LABEL}"
    loaded = subprocess.run(["launchctl", "print", target], capture_output=True, check=False).returncode == 0  # noqa: S603, S607 - no shell, and the words are ours
    next_step = None if path.exists() and loaded else "imds service install --user"
    if as_json:
        click.echo(json.dumps({"scope": "user", "file": str(path), "loaded": loaded, "next": next_step}, indent=2))
    else:
        click.echo(f"{path}: {'loaded' if loaded else 'not loaded'}")
        click.echo(f"next: {next_step}" if next_step else "all is well")
    raise SystemExit(0 if next_step is None else 1)


def _run(command: list[str], *, may_fail: bool = False) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - likewise
    if done.returncode != 0 and not may_fail:
        fail(f"{shlex.join(command)}: {done.stderr.strip() or done.returncode}")
