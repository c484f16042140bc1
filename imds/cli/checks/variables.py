"""Variables that give this user's clients other credentials, or keep them from asking for any."""

from __future__ import annotations

import http.client
import os
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imds.cli.checks.contact import PATIENCE
from imds.cli.checks.finding import edit, error, last_four, unset, warning
from imds.cli.checks.situation import TRUE
from imds.cli.client_environment import (
    AUTHORIZATION_TOKEN,
    AUTHORIZATION_TOKEN_FILE,
    FULL_URI,
    LOCAL_ADDRESSES,
    RELATIVE_URI,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imds.cli.checks.finding import Finding
    from imds.cli.checks.situation import Setting, Situation

KEY_IDS = ("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AMAZON_ACCESS_KEY_ID")
KEYS = (
    *KEY_IDS,
    *("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AMAZON_SECRET_ACCESS_KEY"),
    *("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AMAZON_SESSION_TOKEN", "AWS_CREDENTIAL_EXPIRATION"),
)
PROFILES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
WEB_IDENTITY = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME")
CONTAINER = (FULL_URI, RELATIVE_URI, AUTHORIZATION_TOKEN, AUTHORIZATION_TOKEN_FILE)
PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
NO_PROXY = ("NO_PROXY", "no_proxy")
REFUSED = frozenset({http.client.UNAUTHORIZED, http.client.FORBIDDEN, http.client.NOT_FOUND})
V1_ONLY = frozenset({http.client.BAD_REQUEST, http.client.NOT_FOUND, http.client.METHOD_NOT_ALLOWED, 501})
"""What a metadata service without session tokens answers to a request for one."""


def environment_keys(situation: Situation) -> Iterator[Finding]:
    """Keys in the environment win over a metadata service in every SDK."""
    if found := situation.set(*KEY_IDS):
        key = last_four(situation.environment[found[0]])
        there = situation.set(*KEYS)
        yield error(
            f"keys in the environment ({key}) win over the metadata service in every SDK",
            where=", ".join(there),
            fix=unset(*there),
        )


def environment_profile(situation: Situation) -> Iterator[Finding]:
    """A profile that is named and has credentials wins."""
    named = situation.set(*PROFILES)
    for section in situation.sections_of(situation.profile) if named else []:
        if (key := section.wins_by) is not None:
            yield error(
                f"{named[0]} names profile {section.profile}, and its {section.shown} wins over the metadata service "
                f"({section.where(key)})",
                where=", ".join(named),
                fix=unset(*named),
            )
            return


def missing_profile(situation: Situation) -> Iterator[Finding]:
    """A profile that is named and does not exist ends every SDK with an error."""
    named = situation.set(*PROFILES)
    if named and not situation.sections_of(situation.profile) and situation.profile != "default":
        yield error(
            f"{named[0]} names profile {situation.profile}, which is not there: clients give up",
            where=", ".join(named),
            fix=unset(*named),
        )


def web_identity_variables(situation: Situation) -> Iterator[Finding]:
    """A token file of the environment wins over the metadata service."""
    if situation.set(WEB_IDENTITY[0]):
        there = situation.set(*WEB_IDENTITY)
        yield error(
            "clients assume a role with a web identity token before they ask the metadata service",
            where=", ".join(there),
            fix=unset(*there),
        )


def container_variables(situation: Situation) -> Iterator[Finding]:
    """Container credentials of somebody else win over the metadata service."""
    there = situation.set(*CONTAINER)
    if situation.container_url and not situation.by_container:
        yield error(
            "clients ask a container-credentials endpoint that is not imds before they ask the metadata service",
            where=", ".join(there),
            fix=unset(*there),
        )


def container_token(situation: Situation) -> Iterator[Finding]:
    """What ``imds env`` gave opens the endpoint no more."""
    if not situation.by_container:
        return
    status = _container_status(situation)
    if status in REFUSED or status is None:
        there = situation.set(*CONTAINER)
        said = f"answers {status}" if status is not None else "does not answer"
        yield error(
            f"the variables of an earlier imds env or imds exec lead to imds, which {said}: their token has ended",
            where=", ".join(there),
            fix=unset(*there),
        )


def _container_status(situation: Situation) -> int | None:
    """Return the status of the container credentials that the environment names; they themselves are not asked for."""
    parts = urlsplit(situation.container_url)
    token = situation.environment.get(AUTHORIZATION_TOKEN, "")
    if file := situation.environment.get(AUTHORIZATION_TOKEN_FILE):
        with suppress(OSError, ValueError):
            descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as opened:
                token = opened.read(4096).decode("ascii")
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=PATIENCE / 2)
    try:
        connection.request("HEAD", parts.path, headers={"Authorization": token})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def bearer_token(situation: Situation) -> Iterator[Finding]:
    """A token for Bedrock wins over any credentials, there."""
    name = "AWS_BEARER_TOKEN_BEDROCK"
    if situation.set(name):
        yield warning("clients of Bedrock use a bearer token instead of any credentials", where=name, fix=unset(name))


def credential_file(situation: Situation) -> Iterator[Finding]:
    """Botocore's oldest file of credentials wins."""
    name = "AWS_CREDENTIAL_FILE"
    if situation.set(name):
        yield error("botocore takes keys from a file before it asks the metadata service", where=name, fix=unset(name))


def metadata_disabled(situation: Situation) -> Iterator[Finding]:
    """Clients are told not to ask."""
    name = "AWS_EC2_METADATA_DISABLED"
    setting = situation.setting(name, "disable_ec2_metadata")
    if setting is not None and setting.value.lower() == TRUE and not situation.by_container:
        yield error(
            "clients are told not to ask a metadata service at all", where=setting.where, fix=take_away(name, setting)
        )


def v1_disabled(situation: Situation) -> Iterator[Finding]:
    """Clients may not use IMDSv1, and what they ask has nothing else."""
    name = "AWS_EC2_METADATA_V1_DISABLED"
    setting = situation.setting(name, "ec2_metadata_v1_disabled")
    if setting is None or setting.value.lower() != TRUE or situation.by_container:
        return
    if situation.answer is not None and situation.answer.status in V1_ONLY:
        yield error(
            f"clients are told not to use IMDSv1, and what answers at {situation.target.host}:{situation.target.port} "
            f"gives no session tokens ({situation.answer.status}): it is not imds",
            where=setting.where,
            fix=take_away(name, setting),
        )


def proxy(situation: Situation) -> Iterator[Finding]:
    """Several SDKs send even these requests through a proxy."""
    proxies = situation.set(*PROXIES)
    url = situation.container_url if situation.by_container else situation.target.url
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return
    lists = {name: situation.environment[name] for name in situation.set(*NO_PROXY)}
    if not proxies or not host or (lists and all(_is_excepted(host, text) for text in lists.values())):
        return
    wanted = list(dict.fromkeys([*_entries(",".join(lists.values())), host, *LOCAL_ADDRESSES]))
    value = ",".join(wanted)
    yield error(
        f"clients send requests for {host} through a proxy, which answers in its own way and must not be trusted with "
        "credentials",
        where=", ".join((*proxies, *lists)),
        fix=f"export NO_PROXY='{value}' no_proxy='{value}'",
    )


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip() and "'" not in entry]


def _is_excepted(host: str, text: str) -> bool:
    """Whether every SDK goes to ``host`` by itself; networks such as 169.254.0.0/16 are not understood by all."""
    return any(entry.strip("[]") == host or entry == "*" for entry in _entries(text))


def take_away(name: str, setting: Setting) -> str:
    """Return the command that undoes a setting: of a variable, or of a line in a file."""
    return unset(name) if setting.path is None else edit(f"{setting.line}d", setting.path)
