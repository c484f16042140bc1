"""From a role's configuration to what issues its sessions."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from imds.config import source_kinds as kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta

    from imds.aws.clients import Clients
    from imds.aws.sources import Source
    from imds.aws.sources.cognito import IdentityPool
    from imds.aws.sts import SourceCredentials
    from imds.aws.threads import AwsThreads
    from imds.aws.waiting import Waiting
    from imds.config.schema import Role
    from imds.core.clock import Clock
    from imds.core.credentials import Credentials
    from imds.core.roles import RoleSession, SessionIssuer
    from imds.core.skew import Skew
    from imds.core.store import Store

    Exchange = Callable[[RoleSession, timedelta, datetime], Credentials]


class Builder:
    """Builds issuers; roles that name the same source share it.

    botocore is imported by its methods, not with this module: the daemon listens first.
    """

    def __init__(self, *, store: Store, threads: AwsThreads, region: str | None, clock: Clock, skew: Skew) -> None:
        self._clock = clock
        self._skew = skew
        self._store = store
        self._threads = threads
        self._region = region
        self._sources: dict[kinds.Source, Source] = {}

    def issuer(self, roles: Mapping[str, Role], name: str) -> SessionIssuer:
        """Return what issues the sessions of a role."""
        from imds.aws.issuers import AssumedRole, OwnSession  # noqa: PLC0415 - see above

        role = roles[name]
        if role.session is None:
            return OwnSession(duration=role.duration, source=self._source(roles, role), threads=self._threads)
        exchange = self._exchange(role.source)
        if exchange is not None:
            from imds.aws.federated import Federated  # noqa: PLC0415 - see above

            waiting = self._waiting(role.source)
            return Federated(session=role.session, exchange=exchange, threads=self._threads, waiting=waiting)
        return AssumedRole(session=role.session, source=self._source(roles, role), threads=self._threads)

    def _source(self, roles: Mapping[str, Role], role: Role) -> Source:
        if isinstance(role.source, kinds.FromRole):
            from imds.aws.sources.role import RoleSource  # noqa: PLC0415 - see above

            root = self._clients(root_source(roles, role))
            return RoleSource(role=role.source.role, clients=root, threads=self._threads, store=self._store)
        if role.source not in self._sources:
            from imds.aws.sources import SharedSource  # noqa: PLC0415 - see above

            self._sources[role.source] = SharedSource(
                load=self._loader(role.source),
                clients=self._clients(role.source),
                threads=self._threads,
                waiting=self._waiting(role.source),
            )
        return self._sources[role.source]

    def _loader(self, source: kinds.Source) -> Callable[[], SourceCredentials]:  # noqa: PLR0911 - one return a kind
        from imds.aws.sources import keys, metadata_services, process, profile, session_token  # noqa: PLC0415

        match source:
            case kinds.FromProfile():
                return partial(profile.load_profile, source.profile, self._region)
            case kinds.FromKeys(file=None):
                return partial(keys.load_environment_keys, os.environ)
            case kinds.FromKeys(file=file) if file is not None:
                return partial(keys.load_key_file, file)
            case kinds.FromProcess():
                return partial(process.load_process, source.command, source.timeout.total_seconds())
            case kinds.FromCognito():
                return self._identity_pool(source).load
            case kinds.FromInstanceMetadata():
                return partial(metadata_services.load_instance_metadata, source.endpoint)
            case kinds.FromContainer():
                return partial(metadata_services.load_container, source.url, source.token_file)
            case kinds.FromSessionToken():
                load, clients = self._loader(source.keys), self._clients(source.keys)
                return partial(session_token.load_session_token, load=load, clients=clients, duration=source.duration)
            case kinds.FromFederationToken():
                return partial(
                    session_token.load_federation_token,
                    load=self._loader(source.keys),
                    clients=self._clients(source.keys),
                    name=source.name,
                    policy_arns=source.policy_arns,
                    duration=source.duration,
                )
        raise TypeError(f"{source} gives no credentials by itself")

    def _exchange(self, source: kinds.Source) -> Exchange | None:
        """Return what assumes a role on an identity provider's word; None for a source that gives credentials."""
        from imds.aws.sources import saml, web_identity  # noqa: PLC0415 - see above

        match source:
            case kinds.FromWebIdentity(token=token):
                return web_identity.web_identity_exchange(
                    clients=self._clients(source), token_file=token.file, token_command=token.command
                )
            case kinds.FromSaml(assertion=assertion):
                return saml.saml_exchange(
                    clients=self._clients(source),
                    principal_arn=source.principal_arn,
                    assertion_file=assertion.file,
                    assertion_command=assertion.command,
                )
            case kinds.FromRolesAnywhere():
                from imds.aws.sources.roles_anywhere import TrustAnchor, roles_anywhere_exchange  # noqa: PLC0415

                anchor = TrustAnchor(
                    trust_anchor_arn=source.trust_anchor_arn,
                    profile_arn=source.profile_arn,
                    certificate=source.certificate,
                    private_key=source.private_key,
                    chain=source.chain,
                )
                return roles_anywhere_exchange(anchor)
            case kinds.FromCognito(classic=True):
                return self._identity_pool(source).classic_exchange(self._clients(source))
        return None

    def _identity_pool(self, source: kinds.FromCognito) -> IdentityPool:
        from imds.aws.clients import Clients  # noqa: PLC0415 - see above
        from imds.aws.sources.cognito import IdentityPool  # noqa: PLC0415 - see above

        return IdentityPool(
            clients=Clients(profile=None, region=source.identity_pool_id.partition(":")[0], measure=self._measure),
            pool_id=source.identity_pool_id,
            logins={provider: (token.file, token.command) for provider, token in source.logins},
            custom_role_arn=source.custom_role_arn,
        )

    def _measure(self, server: datetime) -> None:
        self._skew.observe(server, self._clock.now())

    def _waiting(self, source: kinds.Source) -> Waiting:
        """Return what waits for the person behind a source: it looks at the files that a sign-in touches."""
        from imds.aws.waiting import Waiting, profile_files  # noqa: PLC0415 - see above

        match source:
            case kinds.FromWebIdentity(token=evidence) | kinds.FromSaml(assertion=evidence):
                return Waiting([evidence.file] if evidence.file is not None else [])
            case kinds.FromCognito():
                return Waiting([login.file for _, login in source.logins if login.file is not None])
            case kinds.FromProfile():
                return Waiting(profile_files(os.environ))
        return Waiting()

    def _clients(self, source: kinds.Source) -> Clients:
        """Return what makes a source's STS clients: with its profile's settings, where it has one."""
        from imds.aws.clients import Clients  # noqa: PLC0415 - see above

        return Clients(profile=profile_of(source), region=self._region, measure=self._measure)


def root_source(roles: Mapping[str, Role], role: Role) -> kinds.Source:
    """Return the source at the beginning of a role's chain; the configuration has no loops."""
    while isinstance(role.source, kinds.FromRole):
        role = roles[role.source.role]
    return role.source


def profile_of(source: kinds.Source) -> str | None:
    """Return the profile whose region and endpoints a source has; None where it names none."""
    match source:
        case kinds.FromProfile():
            return source.profile
        case kinds.FromSessionToken() | kinds.FromFederationToken():
            return profile_of(source.keys)
    return None
