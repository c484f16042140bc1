"""The composition root: everything is built here, from plain arguments, and lives in one task group."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from random import SystemRandom
from typing import TYPE_CHECKING

from imds.config.chains import first_source, names_in_chain, profile_of
from imds.config.listen import EVERYWHERE
from imds.core.clock import SystemClock
from imds.core.container_tokens import ContainerTokens
from imds.core.errors import ConfigError, CredentialsNotReadyError
from imds.core.schedule import next_refresh
from imds.core.simulation import Simulations
from imds.core.skew import Skew
from imds.core.store import Store
from imds.core.tokens import SessionTokens
from imds.daemon.activating import Activating
from imds.daemon.answering import build_policy, build_service
from imds.daemon.approving import Approving
from imds.daemon.auditing import Auditing
from imds.daemon.keepers import Keepers, profile_region
from imds.daemon.kept import Kept
from imds.daemon.leasing import Leasing
from imds.daemon.mfa import Mfa
from imds.daemon.mfa_ways import Ways
from imds.daemon.notifying import Notifying
from imds.daemon.other_sockets import serve_control, serve_health
from imds.daemon.sessions import Sessions
from imds.daemon.signing import Signing
from imds.daemon.sockets import ACCEPTED_AT_ONCE, open_sockets, take_in
from imds.daemon.telling import Telling
from imds.daemon.trees import HostTrees
from imds.daemon.watching import reload_on_change
from imds.host import listeners
from imds.host.callers import Callers
from imds.host.containers import default_sockets
from imds.host.systemd import Notifier
from imds.web.connection import MetadataServer
from imds.web.uses import Uses

if TYPE_CHECKING:
    from collections.abc import Callable

    from imds.config.schema import Config
    from imds.core.schedule import Schedule
    from imds.daemon.surroundings import Surroundings
    from imds.host.listeners import Address

logger = logging.getLogger(__name__)

READY_AFTER = 10.0
"""Seconds after which we are ready although a role's first attempt has not ended."""

DRAIN = 2.0
"""Seconds for connected clients to send their request and have their answer when we stop."""

SPARE_FILES = 128
"""Files we open ourselves: AWS connections, profiles, the log; the rest may be clients."""

NEED_RESTART = (
    *("listen", "control_socket", "control_group", "audit_log", "audit_fsync"),
    *("reload_on_change", "persist_sessions", "persist_key_file", "admin_listen"),
)
"""Parts of the configuration that a reload cannot change."""


class Daemon:
    """The running service.

    Args:
        load: reads the configuration; called again for a reload.
        surroundings: where it runs.
        schedule: when sessions are renewed; given by the demo.
    """

    def __init__(
        self, *, load: Callable[[], Config], surroundings: Surroundings, schedule: Schedule = next_refresh
    ) -> None:
        self._load = load
        self._schedule = schedule
        self._random = SystemRandom()
        self._around = surroundings
        self.config = load()
        self.clock = SystemClock()
        self.skew = Skew(clock=self.clock)
        self.store = Store(clock=self.clock, skew=self.skew)
        self.uses = Uses(clock=self.clock)
        self.notifier = Notifier(surroundings.environment)
        self.kept = Kept(surroundings.state_directory)
        self.simulations = Simulations()
        self.signing = Signing(self.kept)
        self.trees = HostTrees(clock=self.clock, store=self.store, simulations=self.simulations, signing=self.signing)
        self.keepers = Keepers(
            store=self.store,
            clock=self.clock,
            skew=self.skew,
            schedule=schedule,
            random=self._random,
            environment=surroundings.environment,
            is_own=self._is_own,
        )
        self.session_tokens = SessionTokens(self.kept.token_key())
        self.sessions = Sessions(store=self.store, keepers=self.keepers, clock=self.clock, skew=self.skew)
        self.container_tokens = ContainerTokens(self.kept.container_tokens())
        self.addresses: list[Address] = []
        self.admin: list[str] = []
        self.server: MetadataServer | None = None
        self.hop_away: set[str] = set()
        self.callers = Callers(default_sockets(surroundings.environment))
        self.audit_log = self.kept.audit_log(self.config)
        self.audit = Auditing(log=self.audit_log, clock=self.clock) if self.audit_log is not None else None
        self.leasing = Leasing(self)
        self.notifying = Notifying(
            clock=self.clock,
            environment=surroundings.environment,
            keepers=self.keepers,
            roles=lambda: self.config.roles,
        )
        self.telling = Telling(self)
        self.approving = Approving(self)
        self.activating = Activating(self)
        self.mfa = Mfa(
            keepers=self.keepers,
            clock=self.clock,
            skew=self.skew,
            ways=Ways(environment=surroundings.environment, clock=self.clock, skew=self.skew),
            tell=self.telling.waiting,
        )
        self._used: dict[str, str] = {}
        self.service = build_service(self)
        self._reloading = asyncio.Lock()
        self.reload_problems: list[str] = []
        self._stopping = asyncio.Event()
        self._only: str | None = None
        self.most_connections = 0
        self.ready = asyncio.Event()
        self._tell_trees()

    async def run(self) -> None:
        """Serve until ``stop``.

        Raises:
            AddressTakenError: an address or the control socket is somebody else's.
            ConfigError: a private file of ours, or the place for sessions, cannot be used.
        """
        self.most_connections = max(64, listeners.raise_file_limit() - SPARE_FILES)
        server = self.server = MetadataServer(
            service=self.service, callers=self.callers, clock=self.clock, most_connections=self.most_connections
        )
        sockets = list(self._around.inherited) or open_sockets(self.config.listen)
        self.addresses = [listeners.address_of(listener) for listener in sockets]
        self.hop_away |= {
            listeners.address_of(listener).host for listener in sockets if listeners.is_a_hop_away(listener)
        }
        try:
            async with contextlib.AsyncExitStack() as stack:
                await self._restore()
                if self._around.control_socket is not None:
                    await serve_control(self, self._around.control_socket, stack)
                self.admin = await serve_health(self, stack)
                loop = asyncio.get_running_loop()
                servers = [
                    await loop.create_server(server, sock=listener, backlog=ACCEPTED_AT_ONCE) for listener in sockets
                ]
                for listener in sockets:
                    listener.listen(listeners.BACKLOG)
                await self._live()
                self.notifier.stopping()
                self.leasing.end_all()
                await self.activating.settle()
                await self.sessions.close()
                await take_in(server, sockets, kept=self._around.inherited, patience=DRAIN)
                for listening in servers:
                    listening.close()
                await server.drain(DRAIN)
        finally:
            for listener in sockets:
                listener.close()
            self.callers.close()
            self.keepers.close()
            if self.audit is not None:
                self.audit.flush(last=True)
            if self.audit_log is not None:
                self.audit_log.close()

    def keep_only(self, role: str) -> None:
        """Ask AWS for no more than ``role`` needs; call before ``run``."""
        self._only = role

    def stop(self) -> None:
        """End ``run`` once every connected client has its answer."""
        self._stopping.set()

    async def reload(self) -> list[str]:
        """Read the configuration again and swap it in whole; return what needs a restart to take effect.

        What has failed is tried again at once.

        Raises:
            ConfigError: it is wrong; the old one stays.
        """
        async with self._reloading:
            self.notifier.reloading()
            try:
                config = await asyncio.to_thread(self._load)
            except ConfigError as error:
                logger.error("the configuration is wrong, so nothing has changed:\n%s", error)  # noqa: TRY400 - as it is
                self.reload_problems = [str(problem) for problem in error.problems]
                self.notifier.ready(f"{self.summary()}; the new configuration is wrong")
                raise
            self.reload_problems = []
            stale = [name for name in NEED_RESTART if getattr(config, name) != getattr(self.config, name)]
            self.config = config
            self.approving.after_reload()
            self.service.policy = build_policy(self, self._used)
            self.service.turned_away.forget()
            await self._apply_roles()
            self.leasing.after_reload()
            self.mfa.begin_anew(self.config.roles)
            self.notifying.after_reload(config.channels)
            self.keepers.retry_failed()
            self._want_signatures()
            self.notifier.ready(self.summary())
        logger.info("configuration read again%s", f"; restart for: {', '.join(stale)}" if stale else "")
        return stale

    def summary(self) -> str:
        """Return how we are in one line, for ``systemctl status``."""
        states = [self.store.state(role) for role in self.config.kept]
        good = sum(state is not None and self.store.remaining(state).total_seconds() > 0 for state in states)
        return f"serving {good} of {len(states)} roles"

    @property
    def stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stopping.is_set()

    @property
    def uid(self) -> int:
        """The user whose daemon it is."""
        return self._around.uid

    def use(self, instance: str, role: str) -> None:
        """Let an instance list another of its roles, until we end or a reload takes that role from it."""
        self._used[instance] = role
        self.service.policy = build_policy(self, self._used)

    async def keep_container_tokens(self) -> None:
        """Write the container tokens' digests, so that a restart does not end them; return when they are on the disk.

        Raises:
            ConfigError: the directory cannot be written.
        """
        await self.kept.keep_container_tokens(self.container_tokens.live(self.clock.now()))

    async def _live(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                self.keepers.live_in(tasks)
                self.mfa.live_in(tasks)
                tasks.create_task(self._start_aws(), name="start")
                tasks.create_task(self._watchdog(), name="watchdog")
                if self.audit is not None:
                    tasks.create_task(self.audit.run(), name="audit")
                tasks.create_task(self.signing.run(), name="signing")
                tasks.create_task(self.sessions.run(), name="sessions")
                if self.config.reload_on_change:
                    tasks.create_task(reload_on_change(lambda: self.config, self.reload), name="watching")
                await self._stopping.wait()
                raise _Stopped  # noqa: TRY301 - the way to end a task group
        except* _Stopped:
            pass

    async def _restore(self) -> None:
        """Serve the sessions of an earlier daemon before the first client is accepted."""
        if self._only is None:
            self.keepers.apply(self.config.roles, self._tell_trees(), self.config.sts_second_region)
            await self.sessions.restore(self.config, self._around, self.notifier)

    async def _start_aws(self) -> None:
        """Load botocore while clients can connect already, then keep every role fresh."""
        self._want_signatures()
        if self.trees.region is not None and set(self.config.kept) <= set(self.sessions.restored):
            await self._tell_ready()
        await self.keepers.load_botocore()
        await self.sessions.plan(self._schedule, self._random)
        await self._apply_roles()
        await self.activating.resume()
        if not self.ready.is_set():
            await self._tell_ready()

    async def _tell_ready(self) -> None:
        """Say that clients are answered: every role tried and kept, every document signed, or a while has passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_AFTER):
                for role in self.config.kept:
                    state = self.store.state(role)
                    if state is not None:
                        await state.tried.wait()
                self._want_signatures()
                await self.signing.settled.wait()
                await self.sessions.settled.wait()
        self.ready.set()
        self.notifier.ready(self.summary())

    def _want_signatures(self) -> None:
        """Have identity documents signed before somebody lists their signatures, as far as they are known."""
        self.signing.try_again()
        for instance in list(self.config.instances.values()) if self._only is None else []:
            try:
                self.trees.tree(instance, with_role=False, with_identity=False)
            except CredentialsNotReadyError:
                return  # the region is not known yet
            except Exception:  # one instance's metadata is nobody else's failure
                logger.exception("instance %s: unexpected failure of its metadata", instance.name)

    async def _watchdog(self) -> None:
        interval = self.notifier.watchdog_interval
        while interval is not None:
            self.notifier.alive()
            if self.ready.is_set():
                self.notifier.status(self.summary())
            await asyncio.sleep(interval)

    async def _apply_roles(self) -> None:
        region = self._tell_trees()
        roles = self.config.roles
        if self._only is not None:
            roles = {name: roles[name] for name in names_in_chain(roles, self._only)}
        self.keepers.apply(roles, region, self.config.sts_second_region)
        self.mfa.apply(roles)
        if region is None:
            self.trees.region = await asyncio.to_thread(profile_region, self._root_profile())

    def _tell_trees(self) -> str | None:
        """Give the metadata what the configuration says without AWS; return the region where it is among that."""
        roles = self.config.roles.items()
        self.trees.role_arns = {
            name: role.session.role_arn for name, role in roles if role.session and role.session.role_arn
        }
        region = self.config.region or self._around.environment.get("AWS_REGION")
        if region is not None:
            self.trees.region = region
        return region

    def _root_profile(self) -> str | None:
        """Return the profile at the beginning of the default role's chain."""
        role = self.config.instances["default"].role
        if role is None:
            return None
        return profile_of(first_source(self.config.roles, role))

    def _is_own(self, host: str, port: int) -> bool:
        """Whether we answer at an IP address and a port, or where packets to it are led."""
        from imds.host.addresses.record import led_to  # noqa: PLC0415 - wanted by the sources of few roles

        host, port = led_to(host, port)
        return any(
            address.port == port
            and (address.host == host or (address.host in EVERYWHERE and listeners.address_is_here(host)))
            for address in self.addresses
        )


class _Stopped(Exception):  # noqa: N818 - not an error
    """Ends the task group."""
