"""What no metadata client sends."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from imds.core.callers import Caller
from imds.core.errors import BadRequestError, RefusedError, RequestError
from imds.web.guards import Guards
from imds.web.request import Request


def request(
    method: str = "GET",
    target: str = "/latest/",
    *,
    body: bool = False,
    local_address: str = "127.0.0.1",
    **headers: str,
) -> Request:
    """Return a request; ``X_Name`` is the header ``X-Name``."""
    return Request(
        method=method,
        target=target,
        headers=CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()}),
        has_body=body,
        caller=Caller(address="127.0.0.1", uid=1000),
        local_address=local_address,
    )


OURS = (
    *(
        "127.0.0.1",
        "127.0.0.1:9254",
        "127.8.9.1",
        "localhost",
        "LocalHost:80",
        "localhost.",
        "[::1]",
        "[::1]:80",
        "::1",
    ),
    *("169.254.169.254", "169.254.169.254:80", "[fd00:ec2::254]", "fd00:ec2::254", "[FD00:EC2::254]:80"),
    *(
        "169.254.170.2",
        "169.254.170.23",
        "[fd00:ec2::23]",
        "instance-data",
        "instance-data.ec2.internal",
        " localhost ",
    ),
)
FOREIGN = (
    *("example.com", "evil.example:80", "localhost.example.com", "127.0.0.1.nip.io", "instance-data.example"),
    *("169.254.169.253", "10.0.0.1", "192.168.1.2:80", "0.0.0.0", "[fd00::1]", "[::]", "imds", "xlocalhost"),  # noqa: S104
    *("127.0.0.1@evil.example", "0x7f000001", "2130706433", ":80", "[", "é"),
)


@pytest.mark.parametrize("host", OURS)
def test_our_own_names_pass(host: str) -> None:
    """Every way in which clients write our addresses is let through."""
    Guards().check(request(Host=host))


@pytest.mark.parametrize("host", FOREIGN)
def test_other_names_are_refused(host: str) -> None:
    """A name that a stranger's DNS may point here is refused, and the log says where to allow it."""
    with pytest.raises(RefusedError, match="allowed_hosts"):
        Guards().check(request(Host=host))


@pytest.mark.parametrize("headers", [{}, {"Host": ""}])
def test_no_host_passes(headers: dict[str, str]) -> None:
    """Old CRT clients send none."""
    Guards().check(request(**headers))


def test_the_address_it_came_to_is_ours() -> None:
    """Whatever address a listener has may be named by clients that came to it, and by no others."""
    Guards().check(request(Host="10.0.0.1:80", local_address="10.0.0.1"))
    Guards().check(request(Host="[FD12::1]", local_address="fd12::1"))
    with pytest.raises(RefusedError):
        Guards().check(request(Host="10.0.0.1", local_address="10.0.0.2"))


def test_allowed_hosts_are_exact() -> None:
    """A name of the configuration passes in any case and with a port; no name below or above it does."""
    guards = Guards(hosts=frozenset({"imds.internal"}))
    for host in ("imds.internal", "IMDS.Internal:80", "imds.internal."):
        guards.check(request(Host=host))
    for host in ("a.imds.internal", "internal", "imds-internal"):
        with pytest.raises(RefusedError):
            guards.check(request(Host=host))


@pytest.mark.parametrize("name", ["X_Forwarded_For", "x_forwarded_for", "Origin", "Referer", "Sec_Fetch_Site"])
@pytest.mark.parametrize("value", ["", "127.0.0.1"])
def test_marks_of_proxies_and_browsers_are_refused(name: str, value: str) -> None:
    """Their presence is enough, whatever they say and however they are written."""
    with pytest.raises(RefusedError):
        Guards().check(request("PUT", "/latest/api/token", **{name: value}))


def test_nodes_own_fetch_passes() -> None:
    """It always sends Sec-Fetch-Mode."""
    Guards().check(request(Sec_Fetch_Mode="cors", Accept_Language="*", User_Agent="node"))


def test_an_absolute_target_is_held_to_the_same_names() -> None:
    """A leaked proxy setting works for our addresses; a foreign one is refused beside a good Host too."""
    Guards().check(request(target="http://169.254.169.254/latest/", Host="169.254.169.254"))
    for target in ("http://evil.example/latest/", "http://localhost@evil.example/"):
        with pytest.raises(RefusedError):
            Guards().check(request(target=target, Host="localhost"))


@pytest.mark.parametrize("target", ["latest/", "*", "https://localhost/", "http://", "http://[::1/", ""])
def test_what_is_no_path_and_no_url_is_malformed(target: str) -> None:
    """Such a request is a client's mistake, never ours."""
    with pytest.raises(BadRequestError):
        Guards().check(request(target=target))


def test_only_put_may_have_a_body() -> None:
    """Clients put nothing in a GET; some put an empty form in the token request."""
    Guards().check(request("PUT", body=True))
    with pytest.raises(BadRequestError):
        Guards().check(request("GET", body=True))


@pytest.mark.parametrize("host", [*FOREIGN, "[::1", "::::", "%00", "1.2.3.4.5", "[::1%lo]"])
def test_no_host_breaks_it(host: str) -> None:
    """Whatever a Host header holds, the answer is a refusal or none."""
    try:
        Guards().check(request(Host=host))
    except RequestError as error:
        assert len(str(error)) < 300  # noqa: PT017 - it need not be raised
