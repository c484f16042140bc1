"""The role's name, its credentials, and what else is in ``iam/``."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from imds.conformance import sources
from imds.conformance.reading import document, moment, seconds_left, texts
from imds.conformance.rule import BrokenError, SkippedError, Theme, require
from imds.conformance.target import META_DATA, ROLES, Target

THEME = Theme(name="credentials", title="the role and its credentials")
must, should = THEME.must, THEME.should

OK, NOT_FOUND, UNAVAILABLE = 200, 404, 503
FIELDS = ("Code", "LastUpdated", "Type", "AccessKeyId", "SecretAccessKey", "Token", "Expiration")
WHAT = "the role's document"
SOON = 25 * 60
"""Seconds; botocore takes credentials for good until 25 minutes after, s3fs fetches at 20 minutes each time."""

SKEW = timedelta(minutes=5)
EXTENDED = f"{META_DATA}iam/security-credentials-extended/"
_ACCESS_KEY = re.compile(r"A[KS]IA[A-Z0-9]{12,124}")
_PROFILE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:instance-profile/(?:.+/)?([\w+=,.@-]+)")


@must(
    "role-list", "The list of the role is one name, without a line end.", f"{sources.BOTOCORE}; {sources.OBJECT_STORE}"
)
def _list(target: Target) -> None:
    if target.roles.status in (NOT_FOUND, UNAVAILABLE):
        raise SkippedError("it has no role")
    body = target.roles.text
    fine = target.roles.status == OK and re.fullmatch(r"[\w+=,.@-]{1,128}", body)
    seen = f"{target.roles.status}, {len(body)} characters in {len(target.roles.lines)} lines"
    require(fine, seen + (", a line end behind it" if body.endswith("\n") else ""), "200 and one name")


@must("role-meant", "The role is the one that is meant (--role).", sources.ROLES)
def _meant(target: Target) -> None:
    if target.meant_role is None:
        raise SkippedError("--role does not say which is meant")
    seen = "no role" if target.roles.status != OK else f"role {target.role}"
    require(target.roles.status == OK and target.role == target.meant_role, seen, f"role {target.meant_role}")


@must(
    "no-role", "Where there is no role, the list is 404, or 503 with an empty body.", f"{sources.ROLES}; {sources.CRT}"
)
def _none(target: Target) -> None:
    if target.roles.status == OK and target.roles.body:
        raise SkippedError("it has a role")
    fine = target.roles.status == NOT_FOUND or (target.roles.status == UNAVAILABLE and not target.roles.body)
    require(fine, target.roles, "404, or 503 with an empty body")
    if target.roles.status == NOT_FOUND:
        listed = f"{META_DATA}iam/" in target.tree
        require(not listed, "iam/ is listed in meta-data, and the role's list is 404", "iam/ is not listed")


@must("role-document", "The role's credentials are an object of JSON whose seven fields are texts.", sources.ROLES)
def _document(target: Target) -> None:
    reply = target.document  # the role first: without one there is nothing to ask
    require(reply.status == OK, f"the role is listed, and its document answers {reply}", "200; awscrt aborts else")
    texts(document(reply, what=WHAT), *FIELDS, what=WHAT)


@must("role-code", "Code is Success.", "aws-sdk-go; aws-sdk-php; minio-go")
def _code(target: Target) -> None:
    code = _fields(target).get("Code")
    require(code == "Success", f"Code {code!r}", "Success")


@should("role-type", "Type is AWS-HMAC.", sources.ROLES)
def _type(target: Target) -> None:
    kind = _fields(target).get("Type")
    require(kind == "AWS-HMAC", f"Type {kind!r}", "AWS-HMAC")


@must("role-times", "Times are in UTC with whole seconds and a Z.", f"{sources.MINIO}; aws-sdk-swift")
def _times(target: Target) -> None:
    for name in ("Expiration", "LastUpdated"):
        moment(_fields(target), name, what=WHAT)


@must("role-not-expired", "The credentials have not expired.", sources.ROLES)
def _not_expired(target: Target) -> None:
    left = seconds_left(_fields(target), what=WHAT)
    require(left > 0, f"expired {-left:.0f} s ago", "an Expiration to come")


@should("role-lifetime", "They are good for 25 minutes still.", f"{sources.BOTOCORE}, stretches less; {sources.S3FS}")
def _lifetime(target: Target) -> None:
    left = seconds_left(_fields(target), what=WHAT)
    if left <= 0:
        raise SkippedError("they have expired")
    require(left >= SOON, f"{left:.0f} s left", f"{SOON} s at least")


@should("role-last-updated", "LastUpdated is no time to come.", sources.ROLES)
def _last_updated(target: Target) -> None:
    updated = moment(_fields(target), "LastUpdated", what=WHAT)
    require(updated <= datetime.now(UTC) + SKEW, f"LastUpdated {updated:%Y-%m-%dT%H:%M:%SZ}", "now or earlier")


@should("role-access-key", "The access key id is one of AWS's.", "IAM user guide, IAM identifiers")
def _access_key(target: Target) -> None:
    key = str(_fields(target).get("AccessKeyId"))
    require(_ACCESS_KEY.fullmatch(key), f"{len(key)} characters, beginning with {key[:4]!r}", "ASIA and 16 characters")


@must("role-no-arn", "The document has no RoleArn.", f"{sources.S3FS}, takes it for a container's")
def _no_arn(target: Target) -> None:
    require("RoleArn" not in _fields(target), "it has a RoleArn", "none")


@should("role-layout", "The document is laid out as EC2's: a field a line, this order, no line end.", sources.CAPTURE)
def _layout(target: Target) -> None:
    fields = _fields(target)
    wanted = json.dumps({name: fields.get(name) for name in FIELDS}, indent=2, separators=(",", " : "))
    order = ", ".join(str(name) for name in fields)
    require(target.document.text == wanted, f"fields {order}, {len(target.document.body)} bytes", "EC2's layout")


@must("role-unknown", "The name of no role is 404.", sources.ROLES)
def _unknown(target: Target) -> None:
    reply = target.get(f"{ROLES}no-such-role-{'x' * 8}")
    require(reply.status == NOT_FOUND, reply, "404")


@must("role-encoded", "A role's name may be percent-encoded.", "aws-sdk-cpp")
def _encoded(target: Target) -> None:
    encoded = "".join(f"%{byte:02X}" for byte in target.role.encode())
    reply = target.get(ROLES + encoded)
    require(reply.status == OK, f"{ROLES}{encoded}: {reply}", "200, as the plain name")


@must("role-extended", "The extended document is whole, with the account, or the list of it is 404.", "SDKs' IMDS 2.1")
def _extended(target: Target) -> None:
    name = target.role
    reply = target.get(EXTENDED)
    for path in (EXTENDED, EXTENDED + name):
        reply = target.get(path)
        require(reply.status in (OK, NOT_FOUND), f"{path}: {reply}", "200 or 404: on anything else SDKs give up")
        if reply.status == NOT_FOUND:
            return
    found = document(reply, what="the extended document")
    texts(found, *FIELDS, "AccountId", what="the extended document")
    require(re.fullmatch(r"\d{12}", found["AccountId"]), "an AccountId that is none", "twelve digits")


@should(
    "iam-info", "iam/info tells the instance profile, which has the role's name.", f"{sources.CATEGORIES}; ec2-metadata"
)
def _info(target: Target) -> None:
    name = target.role
    reply = target.get(f"{META_DATA}iam/info")
    require(reply.status == OK, f"iam/info: {reply}", "200")
    found = document(reply, what="iam/info")
    texts(found, "Code", "LastUpdated", "InstanceProfileArn", "InstanceProfileId", what="iam/info")
    profile = _PROFILE.fullmatch(found["InstanceProfileArn"])
    require(profile and profile[1] == name, f"InstanceProfileArn {found['InstanceProfileArn']!r}", f"…/{name}")
    require(found["InstanceProfileId"].startswith("AIPA"), "InstanceProfileId of another kind", "AIPA…")
    moment(found, "LastUpdated", what="iam/info")


@should("iam-listing", "iam/ lists info and security-credentials/.", sources.CATEGORIES)
def _listing(target: Target) -> None:
    _ = target.role
    reply = target.get(f"{META_DATA}iam/")
    require(set(reply.lines) == {"info", "security-credentials/"}, reply, "info and security-credentials/")


def _fields(target: Target) -> dict[str, Any]:
    """Return the document's fields; where it has none, that is another rule's to say.

    Raises:
        SkippedError: there is no document.
    """
    reply = target.document
    if reply.status != OK:
        raise SkippedError("there is no document")
    try:
        return document(reply, what=WHAT)
    except BrokenError as error:
        raise SkippedError("the document is not JSON") from error
