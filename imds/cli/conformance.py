"""``imds conformance``: asks any metadata service whether it is as it has to be."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from imds.cli.options import fail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from urllib.parse import SplitResult

    from imds.conformance.rule import Rule
    from imds.conformance.suite import Result
    from imds.conformance.target import Target

EX_UNAVAILABLE, EX_CANTCREAT = 69, 73
"""sysexits.h"""

PORT = 80
LONGEST_PATIENCE = 60.0


@click.command("conformance")
@click.argument("url", required=False)
@click.option(
    "--http-tokens",
    type=click.Choice(["required", "optional", "auto"]),
    default="auto",
    help="Whether it is meant to want session tokens; auto takes what it does.",
)
@click.option("--role", metavar="NAME", help="The role that it is meant to have.")
@click.option("--container-credentials", "container_url", metavar="URL", help="Its container credentials, asked too.")
@click.option("--token-file", type=click.Path(path_type=Path, dir_okay=False), help="Has their authorization token.")
@click.option("--token-env", metavar="NAME", help="Likewise, a variable that has it.")
@click.option(
    "--level", type=click.Choice(["must", "should"]), default="should", help="must leaves out what only should hold."
)
@click.option("--only", metavar="RULE", multiple=True, help="Only this rule, or the rules of this theme.")
@click.option("--slow", is_flag=True, help="Also the rules that wait for time to pass; some ten seconds.")
@click.option("--strict", is_flag=True, help="What only should hold counts for the exit status too.")
@click.option("--timeout", type=click.FloatRange(0.1, LONGEST_PATIENCE), default=3.0, help="Seconds for an answer.")
@click.option("--list", "listing", is_flag=True, help="Show the rules and ask nothing.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Also write JUnit's XML to this file.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--verbose", "-v", is_flag=True, help="Also the rules that hold, and why others were not looked at.")
def command(  # noqa: PLR0913 - they are options
    *,
    url: str | None,
    http_tokens: str,
    role: str | None,
    container_url: str | None,
    token_file: Path | None,
    token_env: str | None,
    level: str,
    only: tuple[str, ...],
    slow: bool,
    strict: bool,
    timeout: float,
    listing: bool,
    junit: Path | None,
    as_json: bool,
    verbose: bool,
) -> None:
    """Ask the metadata service at URL, imds or any other, whether it answers as EC2 does.

    It talks to nothing else, and shows no credentials. The exit status is 0 where all holds that must, 1 where
    something does not, 69 where nothing answers.

    \b
    imds conformance http://127.0.0.1:9254/
    imds conformance http://169.254.169.254/ --level must --junit imds.xml
    imds conformance http://127.0.0.1:9254/ --only tokens -v
    """
    from imds.conformance import report  # noqa: PLC0415 - wanted only here

    rules = _chosen(level, only)
    if listing:
        fields = [report.rule_fields(rule) for rule in rules]
        click.echo(json.dumps(fields, indent=2) if as_json else "\n".join(report.listed(rules)))
        return
    if url is None:
        raise click.UsageError("name the URL to ask, such as http://127.0.0.1:9254/")
    token = _token(token_file, token_env)
    if token is not None and container_url is None:
        raise click.UsageError("--token-file and --token-env belong to --container-credentials")
    target = _target(url, timeout, http_tokens=http_tokens, role=role, container_url=container_url, token=token)
    results = _run(target, rules, url=url, slow=slow, told=not as_json, verbose=verbose)
    if junit is not None:
        _write(junit, report.as_junit(_shown(url), results, strict=strict))
    if as_json:
        click.echo(json.dumps(report.as_json(_shown(url), results), indent=2))
    else:
        click.echo(report.summary(results))
    raise SystemExit(1 if any(result.breaks or (strict and result.outcome == "fail") for result in results) else 0)


def _chosen(level: str, only: tuple[str, ...]) -> list[Rule]:
    """Return the rules to look at."""
    from imds.conformance.rule import MUST  # noqa: PLC0415 - wanted only here
    from imds.conformance.themes import rules  # noqa: PLC0415 - likewise

    known = list(rules())
    for name in only:
        if not any(name in (rule.id, rule.theme) for rule in known):
            raise click.UsageError(f"--only: there is no rule or theme {name!r}: imds conformance --list shows all")
    return [
        rule
        for rule in known
        if (level != MUST or rule.level == MUST) and (not only or rule.id in only or rule.theme in only)
    ]


def _target(
    url: str, timeout: float, *, http_tokens: str, role: str | None, container_url: str | None, token: str | None
) -> Target:
    from imds.conformance.target import Container, Target  # noqa: PLC0415 - wanted only here
    from imds.conformance.wire import Endpoint, NoAnswerError  # noqa: PLC0415 - likewise

    parts = _split(url, "URL")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise click.UsageError(f"{_shown(url)}: the URL has no path: clients put their own behind it")
    container = None
    try:
        endpoint = Endpoint.of(str(parts.hostname), parts.port or PORT, patience=timeout)
        if container_url is not None:
            at = _split(container_url, "--container-credentials")
            path = f"{at.path or '/'}{f'?{at.query}' if at.query else ''}"
            place = Endpoint.of(str(at.hostname), at.port or PORT, patience=timeout)
            container = Container(endpoint=place, path=path, token=token)
    except NoAnswerError as error:
        fail(f"{_shown(url)}: {error}", status=EX_UNAVAILABLE)
    return Target(endpoint, http_tokens=None if http_tokens == "auto" else http_tokens, role=role, container=container)


def _split(url: str, what: str) -> SplitResult:
    """Return the parts of an http URL."""
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and (parts.port or PORT) > 0
    except ValueError:
        named, parts = False, urlsplit("")
    if parts.scheme != "http" or not named or not url.isascii() or not url.isprintable() or " " in url:
        raise click.UsageError(f"{what}: {_shown(url)!r} is no http://ADDRESS:PORT/")
    if parts.username or parts.password:
        raise click.UsageError(f"{what}: a metadata service takes no user and password")
    return parts


def _shown(url: str) -> str:
    """Return a URL without its password."""
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://…@{tail}" if at and "://" in head else url


def _token(file: Path | None, variable: str | None) -> str | None:
    """Return the authorization token of the container credentials."""
    if file is not None and variable is not None:
        raise click.UsageError("--token-file or --token-env, not both")
    if variable is not None:
        if not os.environ.get(variable):
            raise click.UsageError(f"--token-env: the variable {variable} is not set")
        token = os.environ[variable]
    elif file is not None:
        try:
            token = file.read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            raise click.UsageError(
                f"--token-file: {file}: {getattr(error, 'strerror', None) or 'no ASCII text'}"
            ) from error
    else:
        return None
    token = token.rstrip("\r\n")
    if not (token.isascii() and token.isprintable()):
        raise click.UsageError("the authorization token is no header's value")
    return token


def _run(target: Target, rules: list[Rule], *, url: str, slow: bool, told: bool, verbose: bool) -> list[Result]:
    """Run the rules, and tell what becomes of each theme as it is known."""
    from imds.conformance import report, suite  # noqa: PLC0415 - wanted only here

    try:
        suite.reach(target)
    except suite.UnreachableError as error:
        fail(f"{_shown(url)}: {error}", status=EX_UNAVAILABLE)
    results: list[Result] = []

    def kept() -> Iterator[Result]:
        for result in suite.run(target, rules, slow=slow):
            results.append(result)
            yield result

    plain = bool(os.environ.get("NO_COLOR")) or not sys.stdout.isatty()
    for line in report.lines(kept(), colour=_plain if plain else _coloured, every=verbose):
        if told:
            click.echo(line)
    return results


def _plain(text: str, _: str) -> str:
    return text


def _coloured(text: str, hue: str) -> str:
    return click.style(text, fg=hue)


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        fail(f"{file}: {error.strerror}: name another file with --junit", status=EX_CANTCREAT)
