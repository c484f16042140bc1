"""Each broken server is told from a sound one, by the rules that are meant to."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from urllib.parse import urlsplit

import pytest
from support import wire
from support.altering import Altering
from support.broken import Broken, broken
from support.broken_servers import SERVERS
from support.fakes import KNOWN_SECRETS

from imds.conformance import suite
from imds.conformance.suite import Result
from imds.conformance.target import Container, Target
from imds.conformance.themes import rules
from imds.conformance.wire import Endpoint

EVERYTHING = 4
"""Every so many-th server is asked everything; the others what they break, which is quicker."""

NOT_SHOWN = {"half-closed", "pieces", "slow-senders"}
"""Rules that no broken server shows at work: it would depend on moments, or take half a minute."""

THEME = {rule.id: rule.theme for rule in rules()}


def results(daemon, server: Broken, looked_at: frozenset[str], *, proxy: bool = True) -> list[Result]:
    """Ask a broken server, or the daemon without a proxy; everything where ``looked_at`` is empty."""
    container = None
    how = {name: getattr(server, name) for name in ("asked", "answered", "most", "keeps_open", "closes")}
    with Altering(daemon.address, **how) if proxy else nullcontext(daemon) as asked:
        endpoint = Endpoint.of(*asked.address, patience=3.0)
        if server.container:
            body = json.dumps({"role": "app", "ttl": 3600})
            status, given = wire.control(daemon.control_socket, "POST", "/v1/container-tokens", body)
            assert status == 201
            KNOWN_SECRETS.append(given["token"])
            container = Container(endpoint=endpoint, path=urlsplit(given["url"]).path, token=given["token"])
        target = Target(endpoint, http_tokens=server.declared or server.mode, role="app", container=container)
        if server.container or not looked_at:  # the others need nothing before their rules
            suite.reach(target)
        wanted = [rule for rule in rules() if not looked_at or {rule.id, rule.theme} & looked_at]
        return list(suite.run(target, wanted, slow=server.slow))


@pytest.mark.parametrize("mode", ["required", "optional"])
def test_the_proxy_alone_breaks_nothing(sound, mode):
    """Behind a proxy that alters nothing everything holds."""
    found = results(sound[mode].daemon, broken(mode=mode, container=True), frozenset())
    assert [(result.rule.id, result.seen) for result in found if result.outcome == "fail"] == []


@pytest.mark.parametrize(
    ("name", "everything"),
    [
        pytest.param(name, number % EVERYTHING == 0, id=name)
        for number, (name, server) in enumerate(SERVERS.items())
        if not server.slow
    ],
)
def test_a_broken_server_is_told(sound, name, everything):
    """The rules for what is broken fail, and none of a theme that has nothing to do with it."""
    server = SERVERS[name]
    concerned = frozenset(THEME[rule] for rule in server.fails) | server.also
    looked_at = server.looked_at or (frozenset() if everything else server.fails)
    failed = {
        result.rule.id for result in results(sound[server.mode].daemon, server, looked_at) if result.outcome == "fail"
    }
    assert server.fails <= failed
    assert {THEME[rule] for rule in failed} <= concerned


def test_rules_that_wait(sound):
    """Session tokens expire and slow senders lose their connections; servers that take their time are told."""
    daemon = sound["required"].daemon
    with ThreadPoolExecutor() as threads:
        ours = [
            threads.submit(results, daemon, broken(slow=True), frozenset({rule.id}), proxy=False)
            for rule in rules()
            if rule.slow
        ]
        theirs = [
            (server, threads.submit(results, daemon, server, server.looked_at))
            for server in SERVERS.values()
            if server.slow
        ]
        assert [result.outcome for run in ours for result in run.result()] == ["pass"] * len(ours)
        for server, run in theirs:
            assert server.fails == {result.rule.id for result in run.result() if result.outcome == "fail"}


def test_every_rule_is_shown_at_work():
    """For every rule there is a server that it tells from a sound one, except where that cannot be shown here."""
    shown = frozenset().union(*(server.fails for server in SERVERS.values()))
    assert set(THEME) - shown == NOT_SHOWN
    assert sum(not server.looked_at for server in list(SERVERS.values())[::EVERYTHING]) >= 20
