"""From a role's configuration to what issues its sessions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imds.config import sources as kinds
from imds.config.sources import base_role

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from imds.aws.clients import Clients
    from imds.aws.federated import Exchange, IdentityProvider
    from imds.aws.mfa import MfaCodes
    from imds.aws.sources import SharedSource, Source
    from imds.aws.sources.cognito import IdentityPool
    from imds.aws.sources.evidence import EvidenceReader
    from imds.aws.sources.metadata_services import ContainerEndpoint
    from imds.aws.sources.session_token import LongTermKeys
    from imds.aws.sts import SourceCredentials
    from imds.aws.threads import AwsThreads
    from imds.config.schema import Role
    from imds.config.sources.reading import Evidence
    from imds.core.roles import SessionIssuer
    from imds.core.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What sources need of the daemon.

    Attributes:
        environment: as the daemon was started; botocore's own is without metadata services.
        region: the operator's; None means each profile's own.
        second_region: whose STS is asked when the first cannot be reached; None means AWS's usual one.
        measure: told AWS's time at every answer.
        is_own: whether this daemon answers at an IP address and a port.
    """

    store: Store
    threads: AwsThreads
    environment: Mapping[str, str]
    region: str | None
    second_region: str | None
    measure: Callable[[datetime], None]
    is_own: Callable[[str, int], bool]


class Builder:
    """Builds issuers; roles that name the same source share it.

    botocore is imported by its methods, not with this module: the daemon listens first.

    Attributes:
        codes: by source, where an MFA code is taken from.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._sources: dict[kinds.Source, SharedSource] = {}
        self._providers: dict[kinds.Source, IdentityProvider] = {}
        self._clients_of: dict[str | None, Clients] = {}
        self.codes: dict[kinds.Source, MfaCodes] = {}

    def issuer(self, roles: Mapping[str, Role], name: str) -> SessionIssuer:
        """Return what issues the sessions of a role."""
        from imds.aws import issuers  # noqa: PLC0415 - see above
        from imds.aws.federated import Federated  # noqa: PLC0415 - likewise

        role, threads = roles[name], self._world.threads
        source = role.source
        if isinstance(source, kinds.FromAssumeRoot):
            return issuers.AssumedRoot(
                target_principal=source.target_principal,
                task_policy_arn=source.task_policy_arn,
                source=self._source(roles, source.base),
                threads=threads,
            )
        if role.session is None:
            return issuers.OwnSession(duration=role.duration, source=self.shared_source(source), threads=threads)
        provider = self._provider(source)
        if provider is not None:
            return Federated(session=role.session, provider=provider, threads=threads)
        return issuers.AssumedRole(session=role.session, source=self._source(roles, source), threads=threads)

    def shared_source(self, source: kinds.Source) -> SharedSource:
        """Return the source of credentials that all roles with the same configuration share."""
        from imds.aws.patience import Patience, Watched  # noqa: PLC0415 - see above
        from imds.aws.sources import SharedSource  # noqa: PLC0415 - likewise

        if source not in self._sources:
            origin = _origin(source)
            self._sources[source] = SharedSource(
                load=self._loader(source),
                clients=self._clients(source),
                threads=self._world.threads,
                watched=Watched(origin),
                patience=Patience(Watched([*origin, *_sign_ins(source)]), waits_for=source.waits_for),
            )
        return self._sources[source]

    def _source(self, roles: Mapping[str, Role], source: kinds.Source) -> Source:
        from imds.aws.sources.role import RoleSource  # noqa: PLC0415 - see above

        if not isinstance(source, kinds.FromRole):
            return self.shared_source(source)
        clients = self._clients(root_source(roles, source))
        return RoleSource(role=source.role, clients=clients, threads=self._world.threads, store=self._world.store)

    def _provider(self, source: kinds.Source) -> IdentityProvider | None:
        """Return what an identity provider says of us; None for a source that gives credentials."""
        from imds.aws.federated import IdentityProvider  # noqa: PLC0415 - see above
        from imds.aws.patience import Patience, Watched  # noqa: PLC0415 - likewise

        if source not in self._providers:
            exchange = self._exchange(source)
            if exchange is None:
                return None
            watched = Watched(source.files)
            self._providers[source] = IdentityProvider(
                exchange=exchange,
                threads=self._world.threads,
                watched=watched,
                patience=Patience(watched, waits_for=source.waits_for),
            )
        return self._providers[source]

    def _loader(self, source: kinds.Source) -> Callable[[], SourceCredentials]:  # noqa: PLR0911 - one return a kind
        from imds.aws.sources import federation_token, metadata_services, process, profile, session_token  # noqa: PLC0415 - see above

        match source:
            case kinds.FromProfile():
                return partial(profile.load_profile, source.profile, self._world.region, self._codes(source, None))
            case kinds.FromKeys():
                return self._keys(source)
            case kinds.FromProcess():
                return partial(process.load_process, source.command, source.timeout.total_seconds())
            case kinds.FromCognito():
                return self._identity_pool(source).load
            case kinds.FromInstanceMetadata():
                return partial(metadata_services.load_instance_metadata, source.endpoint, self._world.is_own)
            case kinds.FromContainer():
                return partial(metadata_services.load_container, self._container(source), self._world.is_own)
            case kinds.FromSessionToken():
                return partial(
                    session_token.load_session_token,
                    self._long_term(source.keys),
                    duration=source.duration,
                    mfa_serial=source.mfa_serial,
                    codes=self._codes(source, source.mfa_serial),
                )
            case kinds.FromFederationToken():
                return partial(
                    federation_token.load_federation_token,
                    self._long_term(source.keys),
                    name=source.name,
                    policy=source.policy,
                    policy_arns=source.policy_arns,
                    duration=source.duration,
                )
        raise TypeError(f"{source} gives no credentials by itself")

    def _keys(self, source: kinds.FromKeys) -> Callable[[], SourceCredentials]:
        from imds.aws.sources import keys  # noqa: PLC0415 - see above

        if source.file is None:
            return partial(keys.load_environment_keys, self._world.environment)
        return partial(keys.load_key_file, source.file)

    def _container(self, source: kinds.FromContainer) -> Callable[[], ContainerEndpoint]:
        from imds.aws.sources import metadata_services  # noqa: PLC0415 - see above

        if source.url is None:
            return partial(metadata_services.endpoint_of_environment, self._world.environment)
        return partial(metadata_services.endpoint_with_file, source.url, source.token_file)

    def _exchange(self, source: kinds.Source) -> Exchange | None:
        from imds.aws.sources import cognito, saml, web_identity  # noqa: PLC0415 - see above

        match source:
            case kinds.FromWebIdentity(token=token):
                return web_identity.web_identity_exchange(self._clients(source), _reader(token))
            case kinds.FromSaml(assertion=assertion):
                return saml.saml_exchange(self._clients(source), _reader(assertion), source.principal_arn)
            case kinds.FromCognitoToken():
                return cognito.classic_exchange(self._identity_pool(source), self._clients(source))
            case kinds.FromRolesAnywhere():
                from imds.aws.sources.roles_anywhere import TrustAnchor, roles_anywhere_exchange  # noqa: PLC0415

                anchor = TrustAnchor(
                    trust_anchor_arn=source.trust_anchor_arn,
                    profile_arn=source.profile_arn,
                    certificate=source.certificate,
                    private_key=source.private_key,
                    chain=source.chain,
                )
                return roles_anywhere_exchange(anchor, self._clients(source))
        return None

    def _identity_pool(self, source: kinds.FromCognito) -> IdentityPool:
        from imds.aws.sources.cognito import IdentityPool  # noqa: PLC0415 - see above

        return IdentityPool(
            clients=self._clients(source),
            pool_id=source.identity_pool_id,
            logins={provider: _reader(token) for provider, token in source.logins},
            custom_role_arn=source.custom_role_arn,
        )

    def _long_term(self, source: kinds.FromProfile | kinds.FromKeys) -> LongTermKeys:
        from imds.aws.sources.session_token import LongTermKeys  # noqa: PLC0415 - see above

        return LongTermKeys(load=self._loader(source), clients=self._clients(source))

    def _codes(self, source: kinds.Source, device: str | None) -> MfaCodes:
        from imds.aws.mfa import MfaCodes  # noqa: PLC0415 - see above

        return self.codes.setdefault(source, MfaCodes(device))

    def _clients(self, source: kinds.Source) -> Clients:
        """Return what makes a source's clients: with its profile's settings, where it has one."""
        from imds.aws.clients import Clients  # noqa: PLC0415 - see above

        profile, world = profile_of(source), self._world
        if profile not in self._clients_of:
            self._clients_of[profile] = Clients(
                profile=profile, region=world.region, second_region=world.second_region, measure=world.measure
            )
        return self._clients_of[profile]


def root_source(roles: Mapping[str, Role], source: kinds.Source) -> kinds.Source:
    """Return the source at the beginning of a chain; the configuration has no loops."""
    while (name := base_role(source)) is not None:
        source = roles[name].source
    return source


def profile_of(source: kinds.Source) -> str | None:
    """Return the profile whose region and endpoints a source has; None where it names none."""
    match source:
        case kinds.FromProfile():
            return source.profile
        case kinds.FromSessionToken() | kinds.FromFederationToken():
            return profile_of(source.keys)
        case kinds.FromAssumeRoot():
            return profile_of(source.base)
    return None


def _sign_ins(source: kinds.Source) -> tuple[Path, ...]:
    """Return what else shows that a person may have done what a source waits for."""
    from imds.aws.sources.profile import profile_files, sign_in_folders  # noqa: PLC0415 - botocore is slow to import

    match source:
        case kinds.FromProfile():
            return (*profile_files(os.environ), *sign_in_folders(os.environ))
        case kinds.FromSessionToken() | kinds.FromFederationToken():
            return _origin(source.keys)
    return ()


def _origin(source: kinds.Source) -> tuple[Path, ...]:
    """Return the files that a source says something else by when they change."""
    from imds.aws.sources.profile import profile_files  # noqa: PLC0415 - as above

    return profile_files(os.environ) if isinstance(source, kinds.FromProfile) else source.files


def _reader(evidence: Evidence) -> EvidenceReader:
    from imds.aws.sources.evidence import EvidenceReader  # noqa: PLC0415 - botocore is slow to import

    return EvidenceReader(file=evidence.file, command=evidence.command)
