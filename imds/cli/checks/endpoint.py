"""Where clients are told to look for the metadata service."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imds.cli.checks.finding import edit, error, export, warning
from imds.cli.checks.situation import DEFAULTS, ENDPOINT, MODE
from imds.cli.checks.variables import take_away

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imds.cli.checks.finding import Finding
    from imds.cli.checks.situation import Setting, Situation

MODES = {"ipv4": "IPv4", "ipv6": "IPv6"}
EC2_HOSTS = {mode: str(urlsplit(url).hostname) for mode, url in DEFAULTS.items()}
EC2_PORT = 80


def endpoint_malformed(situation: Situation) -> Iterator[Finding]:
    """The endpoint is no URL of ours."""
    target = situation.target
    if target.setting is not None and not _is_url(situation):
        yield error(
            f"clients are told to look at {target.shown!r}, which is no http://ADDRESS:PORT/",
            where=target.where,
            fix=_point(situation, target.setting, None),
        )


def endpoint_path(situation: Situation) -> Iterator[Finding]:
    """Some SDKs keep the path of an endpoint, others drop it: neither finds anything."""
    target = situation.target
    if target.setting is not None and _is_url(situation) and not _is_bare(target.url, ("", "/")):
        yield error(
            f"clients are told to look at {target.shown}, and some put its path before every path of theirs",
            where=target.where,
            fix=_point(situation, target.setting, _base(target.url)),
        )


def endpoint_slash(situation: Situation) -> Iterator[Finding]:
    """Old versions of the AWS CLI and botocore put their path right behind the endpoint."""
    target = situation.target
    if target.setting is not None and _is_url(situation) and _is_bare(target.url, ("",)):
        yield warning(
            f"clients are told to look at {target.shown}: old versions of botocore need the slash at the end",
            where=target.where,
            fix=_point(situation, target.setting, _base(target.url)),
        )


def endpoint_elsewhere(situation: Situation) -> Iterator[Finding]:
    """The daemon does not listen where clients are told to look."""
    target = situation.target
    if target.setting is None or not _is_url(situation) or not situation.listens or situation.by_container:
        return
    if not situation.listens_at(target.host, target.port):
        there = next(iter(situation.listeners(target.host, target.port)), None) if target.is_here else None
        yield error(
            f"clients are told to look at {target.shown}, and the daemon does not listen there"
            + (f": {there} does" if there else ""),
            where=target.where,
            fix=_point(situation, target.setting, None),
        )


def endpoint_mode(situation: Situation) -> Iterator[Finding]:
    """The family of addresses is one that clients do not know, or the one at which nobody listens."""
    mode = situation.mode
    if mode is not None and mode.value.lower() not in MODES:
        yield error(
            f"clients know IPv4 and IPv6, and {mode.value!r} ends them with an error",
            where=mode.where,
            fix=_set_mode(mode, "IPv4"),
        )
        return
    if mode is not None and mode.value not in MODES.values():
        right = MODES[mode.value.lower()]
        yield warning(
            f"the SDK for JavaScript knows {right} only as it is written here, not {mode.value!r}",
            where=mode.where,
            fix=_set_mode(mode, right),
        )
    if (other := other_family(situation)) is not None:
        where = mode.where if mode is not None else f"{MODE} (not set)"
        yield error(
            f"clients look at {situation.target.host}, and the daemon listens at {EC2_HOSTS[other]} only",
            where=where,
            fix=_set_mode(mode, MODES[other]),
        )


def other_family(situation: Situation) -> str | None:
    """Return the mode at whose address of EC2 the daemon listens, where clients look at the other one."""
    target = situation.target
    if target.setting is not None or situation.listens_at(target.host, EC2_PORT):
        return None
    return next((mode for mode, host in EC2_HOSTS.items() if situation.listens_at(host, EC2_PORT)), None)


def _is_url(situation: Situation) -> bool:
    target = situation.target
    return bool(target.host) and target.port > 0 and target.url.startswith("http://")


def _is_bare(url: str, paths: tuple[str, ...]) -> bool:
    parts = urlsplit(url)
    return parts.path in paths and not parts.query and not parts.fragment


def _base(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"


def _point(situation: Situation, setting: Setting, url: str | None) -> str:
    """Return the command that points clients to ``url``, or where the daemon is for None."""
    if url is None and (line := situation.client_line) is not None:
        url = line.partition("=")[2]
    if url is None:
        return take_away(ENDPOINT, setting)
    return _write(ENDPOINT, setting, url)


def _set_mode(mode: Setting | None, value: str) -> str:
    return _write(MODE, mode, value)


def _write(name: str, setting: Setting | None, value: str) -> str:
    """Return the command that gives a variable, or a line of a file, another value."""
    if setting is None or setting.path is None:
        return export(name, value)
    return edit(f"{setting.line}s|=.*|= {value}|", setting.path)
