"""The metrics of the daemon in the text format of Prometheus; docs/observability.md has the table.

Importing this imports prometheus_client, which only a daemon does whose metrics are asked for. Labels are names of the
configuration and a few words of ours: nothing that a caller chooses.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

import imds
from imds.core.events import FAULTS
from imds.core.readiness import unready

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from prometheus_client.metrics_core import Metric

    from imds.core.histogram import Histogram
    from imds.core.store import RoleState
    from imds.daemon import Daemon


PORTION = 100
"""Roles."""


def expose(daemon: Daemon) -> Iterator[bytes]:
    """Yield the text of one metric after the other; each is short work, so that clients can be answered in between."""
    name = ""
    for families in (_daemon, _roles, _ready, _refreshes, _requests, _aws, _audit, _notifications):
        for family in families(daemon):
            if family is None:
                yield b""
                continue
            text = generate_latest(_Only(family))
            yield _without_head(text) if family.name == name else text
            name = family.name
    yield generate_latest(ProcessCollector(registry=CollectorRegistry()))


class _Only:
    """One metric, in the place of a registry."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        """Yield it."""
        yield self._family


def _without_head(text: bytes) -> bytes:
    """Return the values of a metric whose first part has told type and help."""
    return b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(b"#"))


def _daemon(daemon: Daemon) -> Iterator[Metric]:
    build = GaugeMetricFamily("imds_build_info", "The version that runs", labels=["version", "python_version"])
    build.add_metric([imds.__version__, platform.python_version()], 1)
    yield build
    good = not daemon.reload_problems
    yield GaugeMetricFamily("imds_config_last_reload_successful", "Whether the last reload was taken", value=good)
    live = len(daemon.container_tokens.live(daemon.clock.now()))
    yield GaugeMetricFamily("imds_container_tokens", "Container tokens that open something", value=live)
    active = [fault.kind for told, _ in daemon.simulations.listed(daemon.clock.now()).values() for fault in told.fault]
    faults = GaugeMetricFamily("imds_simulated_faults", "Faults that are simulated now", labels=["fault"])
    for kind in FAULTS:
        faults.add_metric([kind], active.count(kind))
    yield faults


def _roles(daemon: Daemon) -> Iterator[Metric]:
    store, now = daemon.store, daemon.clock.now()

    def next_refresh(state: RoleState) -> float | None:
        return _seconds(state.next_attempt, now)

    def expiry(state: RoleState) -> float | None:
        return state.credentials.expiration.timestamp() if state.credentials is not None else None

    def remaining(state: RoleState) -> float | None:
        return max(0.0, store.remaining(state).total_seconds()) if state.credentials is not None else None

    gauges: tuple[tuple[str, str, Callable[[RoleState], float | None]], ...] = (
        (
            "imds_role_ready",
            "Whether the session lives and is not overdue",
            lambda state: unready(state, store) is None,
        ),
        ("imds_role_session_expiry_timestamp_seconds", "When the session ends, by AWS's clock", expiry),
        ("imds_role_session_remaining_seconds", "How long the session lives, whatever the wall clock says", remaining),
        ("imds_role_next_refresh_seconds", "Until the next attempt; negative when it is late", next_refresh),
        ("imds_role_consecutive_failures", "Refreshes that failed in a row", lambda state: state.failures),
    )
    for name, text, value in gauges:
        for roles in _portions(daemon.config.kept):
            gauge = GaugeMetricFamily(name, text, labels=["role"])
            for role in roles:
                state = store.state(role)
                if state is not None and (number := value(state)) is not None:
                    gauge.add_metric([role], number)
            yield gauge


def _ready(daemon: Daemon) -> Iterator[Metric | None]:
    ready = daemon.ready.is_set() and not daemon.stopping
    for roles in _portions(daemon.config.kept):
        ready = ready and all(_is_ready(daemon, role) for role in roles)
        yield None
    yield GaugeMetricFamily("imds_ready", "Whether we have started and every role is ready", value=ready)


def _refreshes(daemon: Daemon) -> Iterator[Metric]:
    refreshes = daemon.store.refreshes
    # those of leases are counted in the histogram alone: each would be a series of its own
    for roles in _portions(role for role in refreshes.counts if role in daemon.config.roles):
        ended = CounterMetricFamily(
            "imds_role_refreshes", "Refreshes, by what they call for", labels=["role", "outcome", "code"]
        )
        for role in roles:
            for (outcome, code), count in refreshes.counts.get(role, {}).items():
                ended.add_metric([role, outcome, code], count)
        yield ended
    took = HistogramMetricFamily(
        "imds_refresh_duration_seconds", "How long refreshes of all roles took", labels=["outcome"]
    )
    for success, histogram in refreshes.took.items():
        _add(took, ["success" if success else "failure"], histogram)
    yield took


def _is_ready(daemon: Daemon, role: str) -> bool:
    return unready(daemon.store.state(role), daemon.store) is None


def _portions(roles: Iterable[str]) -> Iterator[list[str]]:
    """Yield a few roles at a time: a thousand would hold clients up for milliseconds."""
    names = list(roles)
    for first in range(0, max(1, len(names)), PORTION):
        yield names[first : first + PORTION]


def _requests(daemon: Daemon) -> Iterator[Metric]:
    tally = daemon.service.tally
    answers = CounterMetricFamily("imds_requests", "Answers of the metadata listeners", labels=["endpoint", "status"])
    for (endpoint, status), count in sorted(tally.answers.items()):
        answers.add_metric([endpoint, str(status)], count)
    yield answers
    refusals = CounterMetricFamily("imds_refusals", "Requests that were refused", labels=["reason", "rule"])
    for (reason, rule), count in list(tally.refusals.items()):
        refusals.add_metric([reason, "" if rule is None else str(rule)], count)
    yield refusals
    took = HistogramMetricFamily(
        "imds_request_duration_seconds", "From a request to its answer, of one connection in 16", labels=[]
    )
    _add(took, [], tally.took)
    yield took
    server = daemon.server
    if server is not None:
        yield GaugeMetricFamily("imds_connections", "Clients that are connected", value=server.open_connections)
        yield GaugeMetricFamily("imds_connections_limit", "More than this make room", value=server.most_connections)
        yield CounterMetricFamily("imds_connections_accepted", "Clients that have connected", value=server.accepted)


def _aws(daemon: Daemon) -> Iterator[Metric]:
    calls = CounterMetricFamily("imds_aws_calls", "Calls to AWS", labels=["service", "operation", "status"])
    for labels, count in daemon.keepers.calls.counts.items():
        calls.add_metric(labels, count)
    yield calls
    budget = daemon.keepers.session_budget
    yield CounterMetricFamily("imds_sessions_requested", "Sessions that AWS was asked for", value=budget["asked"])
    most = budget["most_per_second"]
    yield GaugeMetricFamily("imds_sessions_requested_per_second_limit", "How many it may be a second", value=most)
    if (skew := daemon.skew.measured) is not None:
        text = "AWS's time minus ours; positive where our clock is behind"
        yield GaugeMetricFamily("imds_clock_skew_seconds", text, value=skew.total_seconds())


def _audit(daemon: Daemon) -> Iterator[Metric]:
    if daemon.audit_log is None:
        return
    lines = CounterMetricFamily(
        "imds_audit_lines", "Lines of the audit log; all but written are lost", labels=["outcome"]
    )
    for outcome, count in daemon.audit_log.lines.items():
        lines.add_metric([outcome], count)
    yield lines


def _notifications(daemon: Daemon) -> Iterator[Metric]:
    told = CounterMetricFamily(
        "imds_notifications", "Notices that channels were given", labels=["channel_kind", "outcome"]
    )
    kinds = {channel.kind for channel in daemon.config.channels} | {kind for kind, _ in daemon.notifying.counts}
    for kind in sorted(kinds):
        for delivered in (True, False):
            count = daemon.notifying.counts[kind, delivered]
            told.add_metric([kind, "delivered" if delivered else "failed"], count)
    yield told


def _add(family: HistogramMetricFamily, labels: list[str], histogram: Histogram) -> None:
    buckets = [(_bound(bound), count) for bound, count in histogram.cumulative()]
    family.add_metric(labels, buckets, histogram.total)


def _bound(seconds: float) -> str:
    return "+Inf" if seconds == float("inf") else f"{seconds:g}"


def _seconds(moment: datetime | None, now: datetime) -> float | None:
    return (moment - now).total_seconds() if moment is not None else None
