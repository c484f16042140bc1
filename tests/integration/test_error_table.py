"""Failures as botocore really raises them, and what each calls for."""

from __future__ import annotations

import socket

import boto3
import botocore.session
import pytest
from botocore.config import Config
from support import sts as stand_in
from support.emulators import free_port

from imds.aws.errors import BY_CLASS, BY_CODE, translate

ROLE = "arn:aws:iam::111122223333:role/app"
EXPIRED = "Signature expired: 20300101T120000Z is now earlier than 20300101T130000Z (20300101T131500Z - 15 min.)"
EARLY = "Signature not yet current: 20300101T140000Z is still later than 20300101T131500Z (20300101T130000Z + 15 min.)"
MISMATCH = "The request signature we calculated does not match the signature you provided."
BAD_MFA = "MultiFactorAuthentication failed with invalid MFA one time pass code."

REFUSALS = [
    # code, message, HTTP status, action
    ("Throttling", "Rate exceeded", 400, "retry"),
    ("ThrottlingException", "Rate exceeded", 400, "retry"),
    ("RequestLimitExceeded", "Request limit exceeded.", 503, "retry"),
    ("TooManyRequestsException", "Too many", 429, "retry"),
    ("InternalFailure", "An internal error", 500, "retry"),
    ("ServiceUnavailable", "Unavailable", 503, "retry"),
    ("IDPCommunicationError", "The provider did not answer", 400, "retry"),
    ("NobodyKnowsThisOne", "but it came with a server's status", 502, "retry"),
    ("NobodyKnowsThisOne", "but it came with too-many-requests", 429, "retry"),
    ("ExpiredToken", "The security token included in the request is expired", 403, "reauthenticate"),
    ("ExpiredTokenException", "Token expired", 400, "reauthenticate"),
    ("InvalidIdentityToken", "No such provider", 400, "reauthenticate"),
    ("IDPRejectedClaim", "The provider said no", 403, "reauthenticate"),
    ("AccessDenied", BAD_MFA, 403, "reauthenticate"),
    ("AccessDenied", "User: x is not authorized to perform: sts:AssumeRole on resource: y", 403, "denied"),
    ("AccessDeniedException", "no", 403, "denied"),
    ("SignatureDoesNotMatch", EXPIRED, 403, "clock"),
    ("SignatureDoesNotMatch", EARLY, 403, "clock"),
    ("RequestTimeTooSkewed", "The difference is too large.", 403, "clock"),
    ("RequestExpired", "Request has expired.", 400, "clock"),
    ("SignatureDoesNotMatch", MISMATCH, 403, "config"),
    ("InvalidClientTokenId", "The security token included in the request is invalid.", 403, "config"),
    ("MalformedPolicyDocument", "Syntax errors in policy.", 400, "config"),
    ("PackedPolicyTooLarge", "Packed policy consumes 112% of allotted space", 400, "config"),
    ("RegionDisabledException", "STS is not activated in this region", 403, "config"),
    ("ValidationError", "1 validation error detected", 400, "config"),
    ("NobodyKnowsThisOne", "and the status says that we are wrong", 400, "config"),
]


def call(url: str = "http://127.0.0.1:1", **changes: object) -> None:
    """Assume a role as the daemon does, with one attempt."""
    settings = {"connect_timeout": 3, "read_timeout": 8, "retries": {"total_max_attempts": 1}}
    config = Config(**settings | changes.pop("config", {}))
    made = {"region_name": "eu-west-1", "aws_access_key_id": "AKIA1", "aws_secret_access_key": "1"} | changes
    client = boto3.session.Session().client("sts", endpoint_url=url, config=config, **made)
    try:
        client.assume_role(RoleArn=ROLE, RoleSessionName="someone")
    finally:
        client.close()


def failure_of(function, *arguments: object, **keywords: object) -> Exception:
    """Return what it raises."""
    try:
        function(*arguments, **keywords)
    except Exception as error:  # noqa: BLE001 - whatever it is, the table must know it
        return error
    raise AssertionError("it did not fail")


@pytest.mark.parametrize(("code", "message", "status", "action"), REFUSALS)
def test_refusals_of_aws(profiles, sts, code, message, status, action):
    """What AWS answers keeps AWS's code and words, and calls for one action."""
    sts.behaviour = stand_in.error(code, message, status=status)
    known = translate(failure_of(call, sts.url))
    assert (known.code, known.message, known.action.value) == (code, message, action)


@pytest.mark.parametrize("status", [200, 302, 403, 407, 500, 502, 503])
def test_pages_that_are_not_from_aws(profiles, sts, status):
    """An HTML page in place of an answer, whatever its status, is a proxy's fault that passes."""
    sts.behaviour = stand_in.page(status)
    known = translate(failure_of(call, sts.url))
    assert known.action.value == "retry", known
    assert "<" not in known.message


def test_lines_that_break(profiles, sts, no_names):
    """A refused, cut, silent or unresolvable line passes by itself, and botocore's name for it is the code."""
    unused = f"http://127.0.0.1:{free_port()}"
    failures = [
        ("EndpointConnectionError", failure_of(call, unused)),
        ("EndpointConnectionError", failure_of(call, "http://sts.invalid")),
        ("ProxyConnectionError", failure_of(call, sts.url, config={"proxies": {"http": unused}})),
    ]
    sts.behaviour = stand_in.reset
    failures.append(("ConnectionClosedError", failure_of(call, sts.url)))
    sts.behaviour = sts.slow()
    failures.append(("ReadTimeoutError", failure_of(call, sts.url, config={"read_timeout": 0.2})))
    for code, error in failures:
        known = translate(error)
        assert (known.code, known.action.value) == (code, "retry")


def test_what_the_operator_must_mend(profiles, sts):
    """TLS that does not verify, parameters, regions, profiles and settings that cannot work are configuration."""

    def broken_parameter() -> None:
        boto3.session.Session().client("sts", region_name="eu-west-1").assume_role(RoleArn="x", RoleSessionName="y")

    def regionless() -> None:
        boto3.session.Session().client("ec2")

    def profile(name: str) -> None:
        session = botocore.session.Session(profile=name)
        session.create_client("sts", region_name="eu-west-1").get_caller_identity()

    written = "[profile half]\naws_access_key_id = AKIA1\n[profile loop]\nrole_arn = x\nsource_profile = other\n"
    written += "[profile other]\nrole_arn = x\nsource_profile = loop\n[profile none]\nregion = eu-west-1\n"
    written += "[profile dangling]\nrole_arn = x\nsource_profile = nowhere\n"
    (profiles / ".aws" / "config").write_text(written)
    failures = {
        "SSLError": failure_of(call, sts.url.replace("http:", "https:")),
        "ParamValidationError": failure_of(broken_parameter),
        "NoRegionError": failure_of(regionless),
        "ProfileNotFound": failure_of(profile, "nobody"),
        "PartialCredentialsError": failure_of(profile, "half"),
        "InfiniteLoopConfigError": failure_of(profile, "loop"),
        "InvalidConfigError": failure_of(profile, "dangling"),
        "NoCredentialsError": failure_of(profile, "none"),
    }
    known = {name: translate(error) for name, error in failures.items()}
    assert {error.code: error.action.value for error in known.values()} == dict.fromkeys(failures, "config")


def test_a_mistake_of_ours_is_no_failure_of_aws():
    """What no table knows stays what it was, with its traceback."""
    assert translate(KeyError("ours")) is None


def test_no_entry_of_the_table_is_shadowed():
    """A class never stands behind one of its parents."""
    kinds = [kind for kind, _ in BY_CLASS]
    shadowed = [
        (late.__name__, early.__name__)
        for index, late in enumerate(kinds)
        for early in kinds[:index]
        if issubclass(late, early)
    ]
    assert shadowed == []


def test_every_code_of_the_table_is_produced():
    """Codes that STS uses are in the samples above; the others belong to other services."""
    others = {"UnauthorizedException", "ForbiddenException", "NotAuthorizedException"}
    assert set(BY_CODE) - others <= {code for code, *_ in REFUSALS}


@pytest.fixture
def no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names end here: nothing is asked of a name server."""

    def resolve(host: str, *arguments: object, **keywords: object) -> object:
        if not host.replace(".", "").isdigit():
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *arguments, **keywords)

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
