"""What goes wrong between the daemon and AWS: what clients get meanwhile, byte by byte, and how it ends."""

from __future__ import annotations

import json
import signal
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support import sts as stand_in
from support import wire
from support.daemon import DaemonProcess, write_config, write_profile
from support.emulators import free_port
from support.machine import Client, eventually
from support.namespaces import needs_root
from support.sts import StandInSts

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
CONFIG = """\
    region: eu-west-1
    listen: ["http://127.0.0.1:0"]
    roles: {app: {role_arn: "arn:aws:iam::111122223333:role/app", source: {profile: work}}}
"""
EXPIRED = "Signature expired: 20300101T120000Z is now earlier than 20300101T130000Z (20300101T131500Z - 15 min.)"
NOT_FOUND = (
    b'<?xml version="1.0" encoding="iso-8859-1"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"\n'
)

FAULTS = {
    # what STS does, code, action, what clients get once there is nothing left to serve
    "throttled": (stand_in.error("Throttling", status=400), "Throttling", "retry", 503),
    "broken": (stand_in.error("InternalFailure", status=500), "InternalFailure", "retry", 503),
    "a page": (stand_in.page(200), "ResponseParserError", "retry", 503),
    "cut": (stand_in.reset, "ConnectionClosedError", "retry", 503),
    "skewed": (stand_in.error("SignatureDoesNotMatch", EXPIRED, status=403), "SignatureDoesNotMatch", "clock", 503),
    "denied": (stand_in.error("AccessDenied", status=403), "AccessDenied", "denied", 404),
    "expired": (stand_in.error("ExpiredToken", status=403), "ExpiredToken", "reauthenticate", 404),
    "revoked": (stand_in.error("InvalidClientTokenId", status=403), "InvalidClientTokenId", "config", 404),
}


@pytest.fixture
def serve(home):
    """Return a daemon that is not started yet."""

    def make(url: str, *, ready: bool = True, **environment: str) -> DaemonProcess:
        config = write_config(home / "imds.yaml", CONFIG)
        variables = {"AWS_ENDPOINT_URL_STS": url} | environment
        return DaemonProcess(home, "serve", "--config", str(config), environment=variables, ready=ready)

    return make


def expiration(reply: wire.Reply) -> datetime:
    """Return until when a document's credentials live."""
    return datetime.fromisoformat(json.loads(reply.body)["Expiration"])


def assert_nothing(reply: wire.Reply, status: int) -> None:
    """The answer has no credentials: an empty 503, or the 404 page of EC2."""
    assert reply.status == status, reply.raw
    if status == 503:
        assert (reply.body, reply.headers["Content-Length"]) == (b"", "0")
    else:
        assert reply.body.startswith(NOT_FOUND)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_longer_than_a_session(serve, sts, clocks, name):
    """Credentials are served unchanged to their end, nothing after it, and new ones once the fault is gone."""
    behaviour, code, action, status = FAULTS[name]
    with serve(sts.url, **clocks.environment) as daemon:
        client = Client(daemon)
        before = client.document()
        sts.behaviour = behaviour
        clocks.suspend(35 * MINUTE)
        sts.ahead = clocks.ahead
        assert client.document().body == before.body
        failure = eventually(client.failure)
        assert (failure["code"], failure["action"]) == (code, action)
        assert client.document().body == before.body
        assert client.list().body == b"app"
        clocks.suspend(30 * MINUTE)
        sts.ahead = clocks.ahead
        assert_nothing(client.document(), status)
        assert_nothing(client.list(), status)
        sts.behaviour = None
        clocks.suspend(16 * MINUTE)
        sts.ahead = clocks.ahead
        after = eventually(lambda: (reply := client.document()).status == 200 and reply)
        assert after.body != before.body
        assert expiration(after) > clocks.now() + 55 * MINUTE
        assert client.list().body == b"app"
        assert client.failure() is None


@pytest.mark.parametrize(("name", "status"), [("throttled", 503), ("denied", 404)])
def test_a_fault_at_the_start(serve, sts, name, status):
    """The daemon starts all the same, says nothing it does not know, and serves when the fault is gone."""
    sts.behaviour = FAULTS[name][0]
    with serve(sts.url) as daemon:
        client = Client(daemon)
        assert_nothing(client.document(), status)
        assert_nothing(client.list(), status)
        sts.behaviour = None
        assert eventually(lambda: client.document().status == 200)
        assert client.list().body == b"app"


def test_nobody_listens_at_the_start_then_somebody_does(serve):
    """Without STS the answer is an empty 503; soon after it comes up there are credentials."""
    port = free_port()
    with serve(f"http://127.0.0.1:{port}") as daemon:
        client = Client(daemon)
        assert_nothing(client.list(), 503)
        assert client.failure()["code"] == "EndpointConnectionError"
        with StandInSts(port):
            eventually(lambda: client.document().status == 200)


def test_short_sessions_are_never_served_beyond_their_end(serve, sts):
    """Of a session of a few seconds the list says nothing, and the document ends with it."""
    sts.lifetime = timedelta(seconds=6)
    with serve(sts.url) as daemon:
        client = Client(daemon)
        sts.behaviour = stand_in.error("ServiceUnavailable", status=503)
        assert_nothing(client.list(), 503)
        last = first = client.document()
        while (reply := client.document()).status == 200:
            last = reply
            time.sleep(0.01)  # no loop, which would hear 503 for its own sake
        assert last.body == first.body
        assert datetime.now(expiration(first).tzinfo) >= expiration(first) - timedelta(seconds=1)
        assert_nothing(reply, 503)


def test_clients_do_not_wait_for_a_slow_sts(serve, sts, clocks):
    """While STS takes twenty seconds, clients have the old document at once, and the first 503 just as fast."""
    with serve(sts.url, **clocks.environment) as daemon:
        client = Client(daemon)
        before = client.document()
        sts.behaviour = sts.slow(20)
        clocks.suspend(35 * MINUTE)
        client.document()
        eventually(lambda: sts.under_way)
        assert {client.document().body for _ in range(50)} == {before.body}
        clocks.suspend(30 * MINUTE)
        for _ in range(50):
            assert_nothing(client.document(), 503)
        assert sts.under_way


def test_sigterm_while_sts_hangs(serve, sts):
    """The daemon answers before its first session, and leaves when told although STS says nothing."""
    sts.behaviour = sts.slow(60)
    with serve(sts.url, ready=False) as daemon:
        eventually(lambda: sts.under_way)
        client = Client(daemon)
        assert_nothing(client.list(), 503)
        daemon.signal(signal.SIGTERM)
        assert daemon.process.wait(10) == 0
        assert sts.under_way


def test_a_night_in_the_bag(serve, sts, clocks):
    """After nine hours of sleep the first client gets nothing rather than the old keys, and new ones seconds later."""
    with serve(sts.url, **clocks.environment) as daemon:
        client = Client(daemon)
        before = client.document()
        clocks.suspend(9 * HOUR)
        sts.ahead = clocks.ahead
        client.new_token()
        first = client.document()
        assert first.body != before.body
        after = eventually(lambda: (reply := client.document()).status == 200 and reply)
        assert expiration(after) > clocks.now() + 55 * MINUTE
        assert len([call for call in sts.calls if call["Action"] == "AssumeRole"]) == 2


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forward", "back"])
def test_a_stepped_clock(serve, sts, clocks, step):
    """A clock set by an hour brings a new session as soon as a client asks, and nothing is served as if it lived on."""
    with serve(sts.url, **clocks.environment) as daemon:
        client = Client(daemon)
        before = client.document()
        clocks.step(step)
        sts.ahead = clocks.ahead
        client.new_token()

        def renewed() -> wire.Reply | None:
            reply = client.document()
            assert reply.status == 503 or expiration(reply) > clocks.now()
            return reply if reply.status == 200 and reply.body != before.body else None

        left = expiration(eventually(renewed)) - clocks.now()
        assert 55 * MINUTE < left <= HOUR
        assert len(sts.calls) == 2


def test_a_session_that_is_over_already_is_never_served(serve, sts, clocks):
    """A new session that has ended by AWS's own clock is told as a matter of clocks, and never served."""
    sts.lifetime = -HOUR
    with serve(sts.url, **clocks.environment) as daemon:
        client = Client(daemon)
        assert_nothing(client.document(), 503)
        failure = client.failure()
        assert (failure["code"], failure["action"]) == ("ExpiredToken", "clock")
        sts.lifetime = None
        clocks.step(3 * timedelta(seconds=1))
        assert eventually(lambda: client.document().status == 200)


def test_a_revoked_key_is_replaced_on_disk(serve, sts, clocks, home):
    """With its key revoked the role ends with its session; a new key in the profile brings it back."""

    def only_new(call: stand_in.Call) -> stand_in.Answer:
        refused = stand_in.error("InvalidClientTokenId", status=403)
        return sts.session(call) if call["AccessKeyId"] == "AKIANEW" else refused(call)

    with serve(sts.url, **clocks.environment) as daemon:
        client = Client(daemon)
        before = client.document()
        sts.behaviour = only_new
        clocks.suspend(35 * MINUTE)
        sts.ahead = clocks.ahead
        assert client.document().body == before.body
        assert eventually(client.failure)["action"] == "config"
        (home / ".aws" / "config").unlink()
        write_profile(home, aws_access_key_id="AKIANEW", aws_secret_access_key="abcd")
        clocks.suspend(16 * MINUTE)
        sts.ahead = clocks.ahead
        eventually(lambda: client.document().body != before.body)
        assert client.failure() is None


@pytest.mark.parametrize("how", ["removed", "a directory", "not YAML", "wrong"])
def test_an_unreadable_configuration_at_reload(serve, sts, home, how):
    """A reload that fails changes nothing for clients; mended, the next one is taken."""
    with serve(sts.url) as daemon:
        client = Client(daemon)
        before = client.document()
        config = home / "imds.yaml"
        config.unlink()
        if how == "a directory":
            config.mkdir()
        elif how != "removed":
            config.write_text("a: [" if how == "not YAML" else "roles: 3")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("the new configuration is wrong")
        assert client.document().body == before.body
        assert client.list().body == b"app"
        if how == "a directory":
            config.rmdir()
        write_config(config, CONFIG.replace("{app:", "{other:"))
        daemon.signal(signal.SIGHUP)
        eventually(lambda: client.list().body == b"other")
        assert client.document().status == 404


@needs_root
def test_a_name_that_does_not_resolve(home, namespace):
    """While STS's name is unknown there is an empty 503; once it resolves, without a restart, credentials."""
    directory = Path("/etc/netns", namespace.name)
    directory.mkdir(parents=True)
    hosts = directory / "hosts"
    try:
        hosts.write_text("127.0.0.1 localhost\n")  # what programs in the namespace see as /etc/hosts
        with StandInSts(namespace=namespace) as sts:
            config = write_config(home / "imds.yaml", CONFIG)
            variables = {
                "AWS_ENDPOINT_URL_STS": f"http://sts.invalid:{sts.port}",
                "RES_OPTIONS": "timeout:1 attempts:1",
            }
            arguments = ("serve", "--config", str(config))
            with DaemonProcess(home, *arguments, environment=variables, prefix=namespace.prefix) as daemon:
                client = namespace.call(Client, daemon)
                assert_nothing(namespace.call(client.document), 503)
                assert client.failure()["code"] == "EndpointConnectionError"
                hosts.write_text("127.0.0.1 localhost sts.invalid\n")
                eventually(lambda: namespace.call(client.document).status == 200)
    finally:
        hosts.unlink(missing_ok=True)
        directory.rmdir()
