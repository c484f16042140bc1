"""Where STS is asked: regions, partitions, FIPS, dual stack, proxies, CA bundles, and a second region."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.daemon import DaemonProcess, write_config
from support.proxy import ConnectProxy
from support.sts import StandInSts

HOSTS = {
    # the operator's region, AWS's own variables, the host that must be asked
    "regional": ("eu-west-1", {}, "sts.eu-west-1.amazonaws.com"),
    "us-east-1 is regional too": ("us-east-1", {}, "sts.us-east-1.amazonaws.com"),
    "FIPS": ("us-west-2", {"AWS_USE_FIPS_ENDPOINT": "true"}, "sts-fips.us-west-2.amazonaws.com"),
    "dual stack": ("eu-west-1", {"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "sts.eu-west-1.api.aws"),
    "China": ("cn-north-1", {}, "sts.cn-north-1.amazonaws.com.cn"),
    "GovCloud": ("us-gov-west-1", {}, "sts.us-gov-west-1.amazonaws.com"),
}
SECOND = {
    "eu-west-1": "sts.us-east-1.amazonaws.com",
    "us-east-1": "sts.us-west-2.amazonaws.com",
    "cn-north-1": "sts.cn-northwest-1.amazonaws.com.cn",
    "us-gov-west-1": "sts.us-gov-east-1.amazonaws.com",
}
PARTITIONS = {"cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """A certificate of every host above, its own authority, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "AWS")])
    hosts = {host for _, _, host in HOSTS.values()} | set(SECOND.values()) | {"sts.eu-central-1.amazonaws.com"}
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in sorted(hosts)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "aws.pem"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(made.public_bytes(pem) + secret)
    return file


@pytest.fixture
def aws(certificate):
    """STS over TLS, behind a proxy that leads every host there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with StandInSts(tls=context) as sts, ConnectProxy(sts.port) as proxy:
        yield proxy


def daemon(home: Path, proxy: ConnectProxy, certificate: Path | None, region: str, more: str = "", **environment: str):
    """Return a daemon that reaches AWS through the proxy only."""
    partition = PARTITIONS.get(region, "aws")
    role = f"{{role_arn: 'arn:{partition}:iam::111122223333:role/app', source: {{profile: work}}}}"
    config = write_config(
        home / "imds.yaml", f"region: {region}\n{more}listen: ['http://127.0.0.1:0']\nroles: {{app: {role}}}\n"
    )
    variables = {"HTTPS_PROXY": proxy.url} | environment
    if certificate is not None:
        variables["AWS_CA_BUNDLE"] = str(certificate)
    return DaemonProcess(home, "serve", "--config", str(config), environment=variables)


@pytest.mark.parametrize("case", HOSTS)
def test_the_host_that_is_asked(home, aws, certificate, case):
    """Each region, partition and kind of endpoint has its host, asked through the proxy, and its CA is checked."""
    region, environment, host = HOSTS[case]
    with daemon(home, aws, certificate, region, **environment) as served:
        (role,) = served.status()["roles"]
    assert role["state"] == "ok", role
    assert set(aws.asked) == {host}


def test_a_stranger_in_between_is_told(home, aws):
    """A certificate that no known authority signed is not trusted, and waiting does not mend that."""
    with daemon(home, aws, None, "eu-west-1") as served:
        (role,) = served.status()["roles"]
    assert (role["failure"]["code"], role["failure"]["action"]) == ("SSLError", "config")


@pytest.mark.parametrize("region", SECOND)
def test_a_second_region_of_the_same_partition(home, aws, certificate, region):
    """Where the region's STS cannot be reached, another of the same partition gives the session, and it is said."""
    first = next(host for there, _, host in HOSTS.values() if there == region)
    aws.unreachable.add(first)
    with daemon(home, aws, certificate, region) as served:
        (role,) = served.status()["roles"]
        assert f"STS in {region} cannot be reached" in served.log
    assert role["state"] == "ok", role
    assert aws.asked == [first, SECOND[region]]


def test_the_second_region_may_be_chosen(home, aws, certificate):
    """The operator names the second region."""
    aws.unreachable.add("sts.eu-west-1.amazonaws.com")
    with daemon(home, aws, certificate, "eu-west-1", "sts_second_region: eu-central-1\n") as served:
        assert served.status()["roles"][0]["state"] == "ok"
    assert aws.asked == ["sts.eu-west-1.amazonaws.com", "sts.eu-central-1.amazonaws.com"]


def test_no_second_region(home, aws, certificate):
    """With none, nobody else is asked, and the failure passes by itself."""
    aws.unreachable.add("sts.eu-west-1.amazonaws.com")
    with daemon(home, aws, certificate, "eu-west-1", "sts_second_region: none\n") as served:
        (role,) = served.status()["roles"]
    assert (role["failure"]["code"], role["failure"]["action"]) == ("ProxyConnectionError", "retry")
    assert set(aws.asked) == {"sts.eu-west-1.amazonaws.com"}


def test_a_custom_endpoint_has_no_second_region(home, aws, certificate):
    """An endpoint of the operator's own is one place, whatever the region: it is asked once an attempt."""
    own = "sts.corp.example"
    aws.unreachable.add(own)
    with daemon(home, aws, certificate, "eu-west-1", AWS_ENDPOINT_URL_STS=f"https://{own}") as served:
        served.wait_for_log("ProxyConnectionError")
        asked = list(aws.asked)
        (role,) = served.status()["roles"]
    assert role["failure"]["action"] == "retry"
    assert asked == [own]
