"""From a role's configuration to what issues its sessions.

Importing this imports botocore, which is slow: the daemon listens first, and then imports this in a thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakSet

from imds.aws import issuers
from imds.aws.clients import Clients
from imds.aws.federated import Federated, IdentityProvider
from imds.aws.mfa import MfaCodes, NoMfaCodes, UsedCodes
from imds.aws.patience import Patience, Watched
from imds.aws.sources import (
    SharedSource,
    cognito,
    federation_token,
    keys,
    metadata_services,
    process,
    profile,
    roles_anywhere,
    saml,
    session_token,
    web_identity,
)
from imds.aws.sources.evidence import EvidenceReader
from imds.aws.sources.role import RoleSource
from imds.config import sources as kinds
from imds.config.chains import first_source, profile_of
from imds.core.errors import Action, CredentialsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from imds.aws.calls import Calls
    from imds.aws.federated import Federation
    from imds.aws.sources import Source
    from imds.aws.sources.metadata_services import ContainerEndpoint
    from imds.aws.sts import SourceCredentials
    from imds.aws.threads import AwsThreads
    from imds.config.schema import Role
    from imds.config.sources.reading import Evidence
    from imds.core.clock import Clock
    from imds.core.roles import RoleSession, SessionIssuer
    from imds.core.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What sources need of the daemon.

    Attributes:
        environment: as the daemon was started; botocore's own is without metadata services.
        region: the operator's; None means each profile's own.
        second_region: gives whose STS is asked when the first cannot be reached; None means ours for the partition.
        measure: told AWS's time at every answer.
        is_own: whether this daemon answers at an IP address and a port.
        calls: told of every call to AWS.
    """

    store: Store
    threads: AwsThreads
    environment: Mapping[str, str]
    region: str | None
    second_region: Callable[[], str | None]
    clock: Clock
    measure: Callable[[datetime], None]
    is_own: Callable[[str, int], bool]
    calls: Calls


class Builder:
    """Builds issuers; roles that name the same source share it.

    Attributes:
        codes: by source, where an MFA code is taken from.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._sources: dict[kinds.Source, SharedSource] = {}
        self._providers: dict[kinds.Source, IdentityProvider] = {}
        self._clients_of: dict[str | None, Clients] = {}
        self._patiences: WeakSet[Patience] = WeakSet()
        self.codes: dict[kinds.Source, MfaCodes] = {}
        self._used_codes: dict[str, UsedCodes] = {}

    def issuer(self, roles: Mapping[str, Role], name: str) -> SessionIssuer:
        """Return what issues the sessions of a role."""
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
            patience = self._patience(source)
            return Federated(session=role.session, provider=provider, threads=threads, patience=patience)
        return issuers.AssumedRole(session=role.session, source=self._source(roles, source), threads=threads)

    def leased(self, roles: Mapping[str, Role], name: str, session: RoleSession, ends: datetime) -> SessionIssuer:
        """Return what issues the sessions of a lease: ``session`` with the source of a role that is assumed."""
        source, threads = roles[name].source, self._world.threads
        provider = self._provider(source)
        if provider is not None:
            patience = self._patience(source)
            return Federated(session=session, provider=provider, threads=threads, patience=patience, ends=ends)
        return issuers.AssumedRole(session=session, source=self._source(roles, source), threads=threads, ends=ends)

    def shared_source(self, source: kinds.Source) -> SharedSource:
        """Return the source of credentials that all roles with the same configuration share."""
        if source not in self._sources:
            self._sources[source] = SharedSource(
                load=self._loader(source),
                clients=self._clients(source),
                threads=self._world.threads,
                clock=self._world.clock,
                watched=Watched(self._origin(source)),
                patience=self._patience(source),
            )
        return self._sources[source]

    def credentials_of(
        self, roles: Mapping[str, Role], as_role: str | None, source_of: str | None
    ) -> tuple[Source, Clients]:
        """Return what gives the credentials of ``as_role``, or those that ``source_of`` is assumed with; and clients.

        Raises:
            CredentialsError: they give none.
        """
        name = as_role or source_of or ""
        source = kinds.FromRole(role=name) if as_role is not None else roles[name].source
        if isinstance(source, kinds.FromAssumeRoot):
            source = source.base
        if self._provider(source) is not None:
            what = f"role {name} comes from {source}, which gives no credentials: write as: ROLE"
            raise CredentialsError("NoCredentials", what, action=Action.CONFIG)
        return self._source(roles, source), self._clients(first_source(roles, name))

    def mfa_codes(self, source: kinds.Source) -> MfaCodes | None:
        """Return where a source takes codes; None for one that takes none."""
        if source not in self.codes and self._provider(source) is None:
            self.shared_source(source)  # of a break-glass role, which nothing has asked for yet
        return self.codes.get(source)

    def forget_failures(self) -> None:
        """Let every source and every role be tried again at once: somebody says that it may help."""
        for patience in self._patiences:
            patience.over()

    def origin(self, roles: Mapping[str, Role], name: str) -> tuple[Path, ...]:
        """Return the files at the beginning of a role's chain: what they say decides what its sessions are."""
        source = first_source(roles, name)
        if isinstance(source, kinds.FromSessionToken | kinds.FromFederationToken):
            source = source.keys
        return self._origin(source)

    def _patience(self, source: kinds.Source) -> Patience:
        watched = Watched(self._mending(source))
        patience = Patience(clock=self._world.clock, watched=watched, waits_for=source.waits_for)
        self._patiences.add(patience)
        return patience

    def _origin(self, source: kinds.Source) -> tuple[Path, ...]:
        """Return the files that a source says something else by when they change."""
        if isinstance(source, kinds.FromProfile):
            return profile.profile_files(self._world.environment)
        return source.files

    def _mending(self, source: kinds.Source) -> tuple[Path, ...]:
        """Return the files and folders whose change may mend a source that failed."""
        match source:
            case kinds.FromProfile():
                return (*self._origin(source), *profile.sign_in_folders(self._world.environment))
            case kinds.FromSessionToken() | kinds.FromFederationToken():
                return self._mending(source.keys)
        return source.files

    def _source(self, roles: Mapping[str, Role], source: kinds.Source) -> Source:
        if not isinstance(source, kinds.FromRole):
            return self.shared_source(source)
        clients = self._clients(first_source(roles, source.role))
        return RoleSource(role=source.role, clients=clients, threads=self._world.threads, store=self._world.store)

    def _provider(self, source: kinds.Source) -> IdentityProvider | None:
        """Return what an identity provider says of us; None for a source that gives credentials."""
        if source not in self._providers:
            federation = self._federation(source)
            if federation is None:
                return None
            self._providers[source] = IdentityProvider(
                federation=federation,
                threads=self._world.threads,
                clock=self._world.clock,
                watched=Watched(source.files),
                patience=self._patience(source),
            )
        return self._providers[source]

    def _loader(self, source: kinds.Source) -> Callable[[], SourceCredentials]:  # noqa: PLR0911 - one return a kind
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
        if source.file is None:
            return partial(keys.load_environment_keys, self._world.environment)
        return partial(keys.load_key_file, source.file)

    def _container(self, source: kinds.FromContainer) -> Callable[[], ContainerEndpoint]:
        if source.url is None:
            return partial(metadata_services.endpoint_of_environment, self._world.environment)
        return partial(metadata_services.endpoint_with_file, source.url, source.token_file)

    def _federation(self, source: kinds.Source) -> Federation | None:
        match source:
            case kinds.FromWebIdentity(token=token):
                return web_identity.web_identity_federation(self._clients(source), _reader(token))
            case kinds.FromSaml(assertion=assertion):
                return saml.saml_federation(self._clients(source), _reader(assertion), source.principal_arn)
            case kinds.FromCognitoToken():
                return cognito.classic_federation(self._identity_pool(source), self._clients(source))
            case kinds.FromRolesAnywhere():
                certificates = roles_anywhere.Certificates(
                    trust_anchor_arn=source.trust_anchor_arn,
                    profile_arn=source.profile_arn,
                    certificate=source.certificate,
                    private_key=source.private_key,
                    chain=source.chain,
                )
                return roles_anywhere.roles_anywhere_federation(certificates, self._clients(source))
        return None

    def _identity_pool(self, source: kinds.FromCognito) -> cognito.IdentityPool:
        return cognito.IdentityPool(
            clients=self._clients(source),
            pool_id=source.identity_pool_id,
            logins={provider: _reader(token) for provider, token in source.logins},
            custom_role_arn=source.custom_role_arn,
        )

    def _long_term(self, source: kinds.FromProfile | kinds.FromKeys) -> session_token.LongTermKeys:
        load = (
            partial(profile.load_profile, source.profile, self._world.region, NoMfaCodes())
            if isinstance(source, kinds.FromProfile)
            else self._keys(source)
        )
        return session_token.LongTermKeys(load=load, clients=self._clients(source))

    def _codes(self, source: kinds.Source, device: str | None) -> MfaCodes:
        used = self._used_codes.setdefault(device, UsedCodes()) if device is not None else None
        return self.codes.setdefault(source, MfaCodes(device, used))

    def _clients(self, source: kinds.Source) -> Clients:
        """Return what makes a source's clients: with its profile's settings, where it has one."""
        name, world = profile_of(source), self._world
        if name not in self._clients_of:
            self._clients_of[name] = Clients(
                profile=name,
                region=world.region,
                second_region=world.second_region,
                measure=world.measure,
                calls=world.calls,
            )
        return self._clients_of[name]


def _reader(evidence: Evidence) -> EvidenceReader:
    return EvidenceReader(file=evidence.file, command=evidence.command)
