"""Source ``{profile: NAME}``: whatever ``~/.aws`` can say, read by botocore and bounded by us.

Keys, assume-role chains, web identity, Identity Center (SSO), ``aws login`` and ``credential_process`` all work as in
the AWS CLI. Three hazards of botocore are kept out (each has a test): a Session that loads credentials twice or in two
threads invents an ``InfiniteLoopConfigError``, so every load has a Session of its own; a profile that names a metadata
service would ask this very daemon; and a ``credential_process`` may hang, print without end or read our standard input.
"""

from __future__ import annotations

import os
import shlex
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore import exceptions as boto
from botocore.credentials import ProcessProvider

from imds.aws.clients import FALLBACK_REGION, new_session
from imds.aws.programs import run_program
from imds.aws.sources.documents import parse_json
from imds.aws.sts import SourceCredentials
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.session import Session

    from imds.aws.mfa import MfaCodes

SSO_ERRORS = (boto.SSOError, boto.TokenRetrievalError)
LOGIN_ERRORS = (boto.LoginRefreshRequired, boto.LoginTokenLoadError)


def profile_files(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the files that profiles stand in."""
    config = environment.get("AWS_CONFIG_FILE") or "~/.aws/config"
    credentials = environment.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    return _expand(config), _expand(credentials)


def sign_in_folders(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the folders where sign-ins (Identity Center, ``aws login``) leave their tokens."""
    login = environment.get("AWS_LOGIN_CACHE_DIRECTORY") or "~/.aws/login/cache"
    return _expand("~/.aws/sso/cache"), _expand(login)


def _expand(path: str) -> Path:
    """Return a path as botocore has it: where there is no home, ``~`` stays."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path's own raises


def load_profile(profile: str | None, region: str | None, codes: MfaCodes) -> SourceCredentials:
    """Return the credentials of a profile, AWS's default chain without metadata services for None; blocks.

    Args:
        profile: its name.
        region: for the profile's own calls, where it names none.
        codes: for a profile whose own role asks for an MFA code.

    Raises:
        CredentialsError: there are none, or a person must sign in first.
    """
    try:
        return _load(profile, region, codes)
    except (*SSO_ERRORS, *LOGIN_ERRORS) as error:
        command = "aws sso login" if isinstance(error, SSO_ERRORS) else "aws login"
        if profile:
            command += f" --profile {shlex.quote(profile)}"
        raise CredentialsError(
            type(error).__name__,
            f"the sign-in of {_named(profile)} has expired or never was",
            action=Action.REAUTHENTICATE,
            waits_for=f"a sign-in: {command}",
        ) from error


def _named(profile: str | None) -> str:
    return f"profile {profile}" if profile else "the environment and the default profile"


def _load(profile: str | None, region: str | None, codes: MfaCodes) -> SourceCredentials:
    session = new_session(profile)
    if session.get_config_variable("region") is None:
        session.set_config_variable("region", region or FALLBACK_REGION)
    refuse_metadata_sources(session, profile)
    resolver = session.get_component("credential_provider")
    _bound(resolver, codes)
    loaded = resolver.load_credentials()
    if loaded is None:
        raise CredentialsError(
            "NoCredentials", f"no credentials in {_named(profile)}: see `aws configure list`", action=Action.CONFIG
        )
    try:
        frozen = loaded.get_frozen_credentials()
    except RuntimeError as error:  # botocore's word for credentials that come expired
        if "expired" not in str(error):
            raise
        raise CredentialsError(
            "ExpiredToken", "the profile's credentials have expired already", action=Action.REAUTHENTICATE
        ) from error
    expires = getattr(loaded, "_expiry_time", None)  # botocore has no public name for it
    return SourceCredentials(
        access_key_id=frozen.access_key,
        secret_access_key=frozen.secret_key,
        session_token=frozen.token or None,
        expiration=expires.astimezone(UTC) if expires is not None else None,
    )


def refuse_metadata_sources(session: Session, profile: str | None) -> None:
    """Follow ``source_profile`` and refuse a chain that ends in a metadata service.

    Raises:
        CredentialsError: it does.
    """
    profiles = session.full_config.get("profiles", {})
    name = profile or session.get_config_variable("profile") or "default"
    seen: set[str] = set()
    while name in profiles and name not in seen:
        seen.add(name)
        source = profiles[name].get("credential_source")
        if source is not None and source != "Environment":
            raise CredentialsError(
                "InvalidConfig",
                f"profile {name} says credential_source = {source}, which would ask this very daemon: "
                "name a source_profile instead",
                action=Action.CONFIG,
            )
        name = profiles[name].get("source_profile", "")


def _bound(resolver: Any, codes: MfaCodes) -> None:  # noqa: ANN401 - botocore's resolver has no public type
    """Take the metadata services out of the chain, and out of the rest whatever could block for ever."""
    for method in ("iam-role", "container-role", "ec2-credentials-file", "boto-config"):
        resolver.remove(method)
    assume_role = resolver.get_provider("assume-role")
    assume_role._prompter = lambda _text: codes.take()  # noqa: SLF001 - the default one reads our terminal
    resolver.get_provider("custom-process")._popen = _BoundedProcess  # noqa: SLF001 - there is no public way in
    builder = assume_role._profile_provider_builder  # noqa: SLF001 - likewise, for source profiles
    builder._create_process_provider = lambda name: ProcessProvider(  # noqa: SLF001 - likewise
        profile_name=name,
        load_config=lambda: builder._session.full_config,  # noqa: SLF001 - likewise
        popen=_BoundedProcess,
    )


class _BoundedProcess:
    """What botocore takes for a ``Popen`` of a ``credential_process``."""

    returncode = 0

    def __init__(self, arguments: list[str], **_keywords: object) -> None:
        self._arguments = arguments

    def communicate(self) -> tuple[bytes, bytes]:
        """Return what it printed.

        Raises:
            CredentialsError: it failed, went beyond its limits, or printed no JSON object.
        """
        printed = run_program(self._arguments)
        parse_json(printed, of="credential_process")
        return printed, b""
