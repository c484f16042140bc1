"""``imds conformance``: it finds nothing against our daemon, and says honestly what it is pointed at."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from support import wire
from support.altering import Altering
from support.emulators import free_port
from support.fakes import KNOWN_SECRETS

from imds.conformance import suite
from imds.conformance.masking import Secrets
from imds.conformance.rule import Rule
from imds.conformance.target import Target
from imds.conformance.themes import rules
from imds.conformance.wire import Endpoint, NoAnswerError

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUIRED = {"get-no-ttl-without-token"}
"""What cannot be looked at where tokens are required."""

SKIPPED = {"get-expired-token", "slow-senders", "no-role", "public-keys"}
"""What is slow, and what this daemon has not."""


def conformance(*arguments: str, check: int | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command with nothing of anybody's set-up."""
    done = subprocess.run(
        [sys.executable, "-m", "imds", "conformance", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    if check is not None:
        assert done.returncode == check, (done.stdout, done.stderr)
    return done


@pytest.mark.parametrize("mode", ["required", "optional"])
def test_our_daemon_conforms(sound, mode, tmp_path):
    """In both modes everything holds, with its container credentials; no secret is in any of the three reports."""
    answering = sound[mode]
    status, given = wire.control(
        answering.daemon.control_socket, "POST", "/v1/container-tokens", json.dumps({"role": "app", "ttl": 3600})
    )
    assert status == 201
    junit = tmp_path / "report.xml"
    url = f"http://{answering.address[0]}:{answering.address[1]}/"
    arguments = (
        *(url, "--http-tokens", answering.mode, "--role", "app", "--strict"),
        *("--container-credentials", given["url"], "--token-env", "TOKEN", "--junit", str(junit)),
    )
    told = conformance(*arguments, "--json", check=0, TOKEN=given["token"])
    people = conformance(*arguments, "-v", check=0, TOKEN=given["token"])
    report = json.loads(told.stdout)
    skipped = {rule["id"] for rule in report["rules"] if rule["outcome"] == "skip"}
    assert skipped == SKIPPED | (REQUIRED if answering.mode == "required" else set())
    assert report["conforms"]
    assert report["counts"]["fail"] == 0
    assert report["counts"]["pass"] == len(list(rules())) - len(skipped)
    suites = ET.parse(junit).getroot()  # noqa: S314 - our own report
    assert sum(int(each.get("tests")) for each in suites) == len(list(rules()))
    assert [each.get("failures") for each in suites] == ["0"] * len(suites)
    document = json.loads(
        wire.get(
            answering.address, "/latest/meta-data/iam/security-credentials/app", token=answering.tokens["valid"]
        ).body
    )
    _check_no_secret(
        f"{told.stdout}{told.stderr}{people.stdout}{people.stderr}{junit.read_text()}",
        *(given["token"], document["SecretAccessKey"], document["Token"], document["AccessKeyId"]),
    )


def test_a_report_of_failures_has_no_secret(sound, tmp_path):
    """A server that is broken wherever there are secrets fails in all three formats, and none shows one."""
    answering = sound["required"]
    document = json.loads(
        wire.get(
            answering.address, "/latest/meta-data/iam/security-credentials/app", token=answering.tokens["valid"]
        ).body
    )
    secrets = [document["SecretAccessKey"], document["Token"]]

    def everywhere(_: bytes, raw: bytes) -> bytes:
        head, end, body = raw.partition(b"\r\n\r\n")
        if b"HTTP/1.1 404" not in head and b"json" not in head:
            return raw
        body = json.dumps({"Token": secrets[1], "SecretAccessKey": secrets[0]}).encode() + body
        return b"HTTP/1.1 200 OK\r\nServer: " + secrets[0].encode() + end + body

    junit = tmp_path / "report.xml"
    with Altering(answering.address, answered=everywhere) as proxy:
        url = f"http://{proxy.address[0]}:{proxy.address[1]}"
        told = conformance(url, "--json", check=1)
        people = conformance(url, "-v", "--junit", str(junit), check=1)
    assert "FAIL" in people.stdout
    assert not json.loads(told.stdout)["conforms"]
    suites = ET.parse(junit).getroot()  # noqa: S314 - our own report
    assert any(int(each.get("failures")) for each in suites)
    _check_no_secret(f"{told.stdout}{people.stdout}{people.stderr}{junit.read_text()}", *secrets)


def _check_no_secret(text: str, *secrets: str) -> None:
    for secret in (*secrets, *KNOWN_SECRETS):
        assert secret not in text, "a secret is in a report"


def test_moto_is_asked_to_the_end(moto_server):
    """An endpoint that has little of EC2's service has a verdict on every rule."""
    report = json.loads(conformance(moto_server.url, "--json", check=1).stdout)
    assert len(report["rules"]) == len(list(rules()))
    assert report["counts"]["fail"] > 10
    assert report["counts"]["pass"] > 10


def test_nobody_listens():
    """A dead port is told as what it is, with status 69."""
    told = conformance(f"http://127.0.0.1:{free_port()}/", check=69)
    assert "Connection refused" in told.stderr
    assert told.stdout == ""


def _listen(answer) -> contextlib.AbstractContextManager[int]:
    """Call ``answer`` with each connection, in a thread; the port."""

    @contextlib.contextmanager
    def listening() -> Iterator[int]:
        held = []
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        client, _ = listener.accept()
                        held.append(client)
                        with contextlib.suppress(OSError):
                            answer(client)

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            yield listener.getsockname()[1]
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for client in held:
            client.close()

    return listening()


def _greet(client: socket.socket) -> None:
    client.recv(4096)
    client.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
    client.shutdown(socket.SHUT_WR)


def _tls(client: socket.socket) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client.settimeout(5)
    context.wrap_socket(client, server_side=True, suppress_ragged_eofs=True)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (_greet, "not HTTP"),
        (lambda _: None, "no answer in time"),
        (lambda client: client.close(), "closed without an answer|reset"),
        (_tls, "not HTTP|closed|reset|no answer"),
    ],
    ids=["SSH", "silence", "closes", "TLS"],
)
def test_what_is_no_metadata_service(answer, says):
    """Whatever speaks no HTTP, or nothing, is told as that, with status 69."""
    with _listen(answer) as port:
        told = conformance(f"http://127.0.0.1:{port}/", "--timeout", "0.3", check=69)
    assert any(words in told.stderr for words in says.split("|")), told.stderr
    assert told.stderr.startswith("imds: ")
    assert told.stdout == ""


def test_a_server_that_ceases_to_answer(sound):
    """Once nothing has come for three rules in a row the others fail without being asked: the run comes to its end."""
    answering = sound["required"]
    asked = []

    def ceases(request: bytes, raw: bytes) -> bytes:
        asked.append(request)
        if len(asked) > 40:
            threading.Event().wait(1)
        return raw

    with Altering(answering.address, answered=ceases) as proxy:
        target = Target(Endpoint.of(*proxy.address, patience=0.2))
        suite.reach(target)
        results = list(suite.run(target, rules()))
    assert len(results) == len(list(rules()))
    assert "ceased to answer" in results[-1].seen
    assert len(asked) < 200


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name the URL"),
        (["https://127.0.0.1/"], "no http://"),
        (["127.0.0.1:80"], "no http://"),
        (["http://127.0.0.1:99999/"], "no http://"),
        (["http://127.0.0.1/latest"], "no path"),
        (["http://u:hunter22@127.0.0.1/"], "no user"),
        (["http://127.0.0.1/\r\nX: y"], "no http://"),
        (["http://127.0.0.1/", "--only", "nonsense"], "--list"),
        (["http://127.0.0.1/", "--token-env", "NOT_THERE"], "not set"),
        (["http://127.0.0.1/", "--token-file", "/nonexistent/x"], "No such file"),
        (["http://127.0.0.1/", "--token-env", "PATH"], "--container-credentials"),
    ],
)
def test_mistakes_of_whoever_asks(arguments, says):
    """Each is told with what is wrong, nothing is asked, and no password is shown."""
    told = conformance(*arguments, check=2)
    assert says in told.stderr
    assert "hunter22" not in told.stderr


def test_a_chosen_rule_alone_and_a_report_that_cannot_be_written(sound):
    """``--only`` asks that alone; a file that cannot be written is status 73."""
    answering = sound["required"]
    url = f"http://{answering.address[0]}:{answering.address[1]}"
    assert len(json.loads(conformance(url, "--only", "server", "--json", check=0).stdout)["rules"]) == 1
    assert "--junit" in conformance(url, "--only", "server", "--junit", "/nonexistent/x", check=73).stderr


def test_a_rule_that_trips_over_an_answer_is_a_failure():
    """What no rule foresaw is told as a failure and ends nothing."""

    def trips(_: Target) -> None:
        raise UnicodeError("secret")

    rule = Rule(id="x", theme="tokens", level="must", says="it holds", source="here", check=trips)
    [result] = suite.run(Target(Endpoint.of("127.0.0.1", 1, patience=1)), [rule])
    assert result.breaks
    assert result.seen == "an answer that cannot be read (UnicodeError)"


def test_what_was_handed_out_is_masked():
    """Values that were noted, and whatever has the shape of a key, show nothing; paths stay."""
    secrets = Secrets()
    secrets.add("short-but-noted")
    text = secrets.mask(
        "short-but-noted ASIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY /latest/meta-data/"
    )
    assert text == "… … … /latest/meta-data/"


def test_an_unknown_name_is_no_address():
    """A host that is not known is told as that."""
    with pytest.raises(NoAnswerError, match="is not known"):
        Endpoint.of("no-such-host.invalid", 80, patience=1)


def test_the_ids_of_the_rules():
    """Each rule has an id of its own, no theme's, and says who says so."""
    known = list(rules())
    ids = [rule.id for rule in known]
    assert len(set(ids)) == len(ids)
    assert not set(ids) & ({rule.theme for rule in known} - {"region"})
    assert all(rule.source and rule.says.endswith(".") for rule in known)
