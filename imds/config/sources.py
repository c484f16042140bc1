"""``source``: one reader for each kind of credential source."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imds.config.source_kinds import (
    DEFAULT_PROGRAM_TIMEOUT,
    DEFAULT_SESSION_TOKEN_DURATION,
    Evidence,
    FromCognito,
    FromContainer,
    FromFederationToken,
    FromInstanceMetadata,
    FromKeys,
    FromProcess,
    FromProfile,
    FromRole,
    FromRolesAnywhere,
    FromSaml,
    FromSessionToken,
    FromWebIdentity,
    address_of,
)
from imds.core.roles import MIN_DURATION, POLICY_ARN, ROLE_ARN

if TYPE_CHECKING:
    from collections.abc import Callable

    from imds.config.document import Node
    from imds.config.source_kinds import Source

MAX_SESSION_TOKEN_DURATION = timedelta(seconds=129600)
SAML_PROVIDER_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:saml-provider/[\w+=,.@/-]{1,256}", re.ASCII)
ROLES_ANYWHERE_ARN = re.compile(
    r"arn:aws[a-z-]*:rolesanywhere:[a-z0-9-]+:\d{12}:(?:trust-anchor|profile)/[0-9a-f-]{36}"
)
IDENTITY_POOL_ID = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d+:[0-9a-f-]{36}")
FEDERATED_NAME = re.compile(r"[\w+=,.@-]{2,32}", re.ASCII)


def read_source(node: Node, name: str, names: tuple[str, ...]) -> Source | None:
    """Return a role's source, None when it has mistakes.

    Args:
        node: the entry.
        name: the role that has it.
        names: the names of all roles.
    """
    mistakes = len(node.problems.found)
    entries = node.section(*READERS, "role", later=("assume_root", "mfa_serial"))
    if len(node.problems.found) > mistakes:
        return None
    if len(entries) != 1:
        node.wrong(f"must have exactly one of {', '.join([*READERS, 'role'])}")
        return None
    kind, entry = next(iter(entries.items()))
    return _read_other_role(entry, name, names) if kind == "role" else READERS[kind](entry)


def _read_profile(node: Node) -> FromProfile | None:
    profile = node.text(what="the name of a profile of ~/.aws")
    return FromProfile(profile=profile) if profile else None


def _read_other_role(node: Node, name: str, names: tuple[str, ...]) -> FromRole | None:
    other = node.text(what="the name of another role")
    if other is None:
        return None
    if other == name or other not in names:
        known = ", ".join(known for known in names if known != name) or "none"
        node.wrong(f"{other!r} is not the name of another role; there are: {known}")
        return None
    return FromRole(role=other)


def _read_keys(node: Node) -> FromKeys | None:
    if node.is_scalar:
        return FromKeys(file=None) if node.one_of("environment") else None
    entries = node.section("file")
    if "file" not in entries:
        node.wrong("must be environment, or {file: PATH}")
        return None
    file = entries["file"].path()
    return FromKeys(file=file) if file else None


def _read_process(node: Node) -> FromProcess | None:
    entries = node.section("command", "timeout")
    command = _read_command(node, entries.get("command"))
    timeout = entries["timeout"].duration(timedelta(seconds=1), timedelta(seconds=55)) if "timeout" in entries else None
    return FromProcess(command=command, timeout=timeout or DEFAULT_PROGRAM_TIMEOUT) if command else None


def _read_web_identity(node: Node) -> FromWebIdentity | None:
    token = _read_evidence(node, node.section("token_file", "token_command"), "token")
    return FromWebIdentity(token=token) if token else None


def _read_saml(node: Node) -> FromSaml | None:
    entries = node.section("assertion_file", "assertion_command", "principal_arn")
    assertion = _read_evidence(node, entries, "assertion")
    what = "a SAML provider's ARN (arn:aws:iam::123456789012:saml-provider/NAME)"
    principal = entries["principal_arn"].matching(SAML_PROVIDER_ARN, what) if "principal_arn" in entries else None
    return FromSaml(assertion=assertion, principal_arn=principal) if assertion else None


def _read_cognito(node: Node) -> FromCognito | None:
    entries = node.section("identity_pool_id", "logins", "custom_role_arn", "flow")
    if "identity_pool_id" not in entries:
        node.wrong("has no identity_pool_id")
        return None
    pool = entries["identity_pool_id"].matching(IDENTITY_POOL_ID, "an identity pool's id (REGION:UUID)")
    logins = entries["logins"].mapping() if "logins" in entries else {}
    evidence = {
        provider: _read_evidence(login, login.section("token_file", "token_command"), "token")
        for provider, login in logins.items()
    }
    custom = entries["custom_role_arn"].matching(ROLE_ARN, "a role's ARN") if "custom_role_arn" in entries else None
    flow = entries["flow"].one_of("enhanced", "classic") if "flow" in entries else "enhanced"
    if pool is None or None in evidence.values():
        return None
    return FromCognito(
        identity_pool_id=pool,
        logins=tuple((provider, login) for provider, login in evidence.items() if login is not None),
        custom_role_arn=custom,
        classic=flow == "classic",
    )


def _read_instance_metadata(node: Node) -> FromInstanceMetadata | None:
    endpoint = _read_foreign_url(node, node.section("endpoint"), "endpoint")
    return FromInstanceMetadata(endpoint=endpoint) if endpoint else None


def _read_container(node: Node) -> FromContainer | None:
    entries = node.section("url", "token_file")
    url = _read_foreign_url(node, entries, "url")
    token_file = entries["token_file"].path() if "token_file" in entries else None
    return FromContainer(url=url, token_file=token_file) if url else None


def _read_session_token(node: Node) -> FromSessionToken | None:
    entries = node.section("profile", "keys", "duration", later=("mfa_serial",))
    keys, duration = _read_long_term(node, entries), _read_duration(entries)
    return FromSessionToken(keys=keys, duration=duration) if keys else None


def _read_federation_token(node: Node) -> FromFederationToken | None:
    entries = node.section("profile", "keys", "name", "policy_arns", "duration")
    keys, duration = _read_long_term(node, entries), _read_duration(entries)
    if "name" not in entries or "policy_arns" not in entries:
        node.wrong("needs a name and policy_arns: without a policy a federated session may do nothing")
        return None
    name = entries["name"].matching(FEDERATED_NAME, "2 to 32 letters, digits or any of _+=,.@-")
    what = "a policy's ARN (arn:aws:iam::aws:policy/ReadOnlyAccess)"
    arns = tuple(arn for item in entries["policy_arns"].items() if (arn := item.matching(POLICY_ARN, what)))
    if keys is None or name is None:
        return None
    return FromFederationToken(keys=keys, name=name, policy_arns=arns, duration=duration)


def _read_roles_anywhere(node: Node) -> FromRolesAnywhere | None:
    required = ("trust_anchor_arn", "profile_arn", "certificate", "private_key")
    entries = node.section(*required, "chain")
    if missing := [key for key in required if key not in entries]:
        node.wrong(f"has no {', no '.join(missing)}")
        return None
    anchor = entries["trust_anchor_arn"].matching(ROLES_ANYWHERE_ARN, "the ARN of a trust anchor")
    profile = entries["profile_arn"].matching(ROLES_ANYWHERE_ARN, "the ARN of a Roles Anywhere profile")
    certificate, key = entries["certificate"].path(), entries["private_key"].path()
    chain = entries["chain"].path() if "chain" in entries else None
    if anchor is None or profile is None or certificate is None or key is None:
        return None
    return FromRolesAnywhere(
        trust_anchor_arn=anchor, profile_arn=profile, certificate=certificate, private_key=key, chain=chain
    )


READERS: dict[str, Callable[[Node], Source | None]] = {
    "profile": _read_profile,
    "keys": _read_keys,
    "process": _read_process,
    "web_identity": _read_web_identity,
    "saml": _read_saml,
    "cognito": _read_cognito,
    "instance_metadata": _read_instance_metadata,
    "container": _read_container,
    "session_token": _read_session_token,
    "federation_token": _read_federation_token,
    "roles_anywhere": _read_roles_anywhere,
}
"""Every kind but ``role``, which has to know the other roles."""


def _read_long_term(node: Node, entries: dict[str, Node]) -> FromProfile | FromKeys | None:
    named = [key for key in ("profile", "keys") if key in entries]
    if len(named) != 1:
        node.wrong("must have exactly one of profile, keys: where the long-term keys are")
        return None
    return _read_profile(entries["profile"]) if named == ["profile"] else _read_keys(entries["keys"])


def _read_duration(entries: dict[str, Node]) -> timedelta:
    given = entries["duration"].duration(MIN_DURATION, MAX_SESSION_TOKEN_DURATION) if "duration" in entries else None
    return given or DEFAULT_SESSION_TOKEN_DURATION


def _read_evidence(node: Node, entries: dict[str, Node], what: str) -> Evidence | None:
    file, command = entries.get(f"{what}_file"), entries.get(f"{what}_command")
    if (file is None) == (command is None):
        node.wrong(f"must have exactly one of {what}_file, {what}_command")
        return None
    if file is not None:
        path = file.path()
        return Evidence(file=path) if path else None
    arguments = _read_command(node, command)
    return Evidence(command=arguments) if arguments else None


def _read_command(node: Node, command: Node | None) -> tuple[str, ...] | None:
    if command is None:
        node.wrong("has no command: write command: [PROGRAM, ARGUMENT, …]")
        return None
    items = command.items()
    arguments = tuple(text for item in items if (text := item.text()) is not None)
    if not arguments:
        command.wrong("names no program: write [PROGRAM, ARGUMENT, …]")
    return arguments if arguments and len(arguments) == len(items) else None


def _read_foreign_url(node: Node, entries: dict[str, Node], key: str) -> str | None:
    """Return a URL of somebody else's metadata service."""
    if key not in entries:
        node.wrong(f"has no {key}")
        return None
    text = entries[key].text(what="a URL")
    if text is None:
        return None
    try:
        usable = urlsplit(text).scheme in ("http", "https") and bool(address_of(text)[0])
    except ValueError:
        usable = False
    if not usable:
        entries[key].wrong(f"{text!r} is not a URL")
    return text if usable else None
