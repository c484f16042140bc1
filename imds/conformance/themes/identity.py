"""The instance identity document, its signatures, and what they have to agree with."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from imds.conformance import sources
from imds.conformance.reading import document, moment
from imds.conformance.rule import BrokenError, SkippedError, Theme, require
from imds.conformance.target import DYNAMIC, META_DATA, Target

THEME = Theme(name="identity", title="the identity document")
must, should = THEME.must, THEME.should

OK, NOT_FOUND = 200, 404
PATH = f"{DYNAMIC}instance-identity/document"
WHAT = "the identity document"
FIELDS = (
    *("accountId", "architecture", "availabilityZone", "billingProducts", "devpayProductCodes"),
    *("marketplaceProductCodes", "imageId", "instanceId", "instanceType", "kernelId", "pendingTime", "privateIp"),
    *("ramdiskId", "region", "version"),
)
AGREE = {
    "region": "placement/region",
    "availabilityZone": "placement/availability-zone",
    "instanceId": "instance-id",
    "imageId": "ami-id",
    "instanceType": "instance-type",
    "privateIp": "local-ipv4",
}


@must(
    "identity-document",
    "The identity document is an object of JSON, with account, region and instance.",
    sources.IDENTITY,
)
def _document(target: Target) -> None:
    reply = target.get(PATH)
    require(reply.status == OK, reply, "200")
    found = document(reply, what=WHAT)
    for name in ("accountId", "region", "instanceId", "availabilityZone", "instanceType", "imageId", "pendingTime"):
        require(isinstance(found.get(name), str), f"{name} is missing or no text", f"{name}, a text")
    require(re.fullmatch(r"\d{12}", found["accountId"]), f"accountId {found['accountId']!r}", "twelve digits")


@must("identity-time", "pendingTime is a time in UTC.", f"{sources.GO}, fails else")
def _time(target: Target) -> None:
    moment(_fields(target), "pendingTime", what=WHAT)


@must(
    "identity-agrees", "The document says what the paths of the metadata say.", f"{sources.GO} takes the region from it"
)
def _agrees(target: Target) -> None:
    found = _fields(target)
    for name, path in AGREE.items():
        reply = target.get(META_DATA + path)
        if reply.status == OK and name in found:
            require(found[name] == reply.text, f"{name} {found[name]!r}, {path} {reply.text!r}", "the same")


@should("identity-account", "Its account is that of the instance profile.", "Terraform takes it from either")
def _account(target: Target) -> None:
    reply = target.get(f"{META_DATA}iam/info")
    if reply.status != OK:
        raise SkippedError("it has no instance profile")
    arn = str(document(reply, what="iam/info").get("InstanceProfileArn"))
    account = _fields(target).get("accountId")
    require(f"::{account}:" in arn, f"accountId {account!r}, InstanceProfileArn {arn!r}", "the same account")


@should(
    "identity-layout",
    "It has all of EC2's fields in their order, one a line, and version 2017-09-30.",
    sources.IDENTITY,
)
def _layout(target: Target) -> None:
    fields = _fields(target)
    missing = [name for name in FIELDS if name not in fields]
    require(not missing, f"not there: {', '.join(missing)}", "all fields, some null")
    require(fields["version"] == "2017-09-30", f"version {fields['version']!r}", "2017-09-30")
    wanted = json.dumps({name: fields[name] for name in sorted(fields)}, indent=2, separators=(",", " : "))
    require(target.get(PATH).text == wanted, "another layout", "EC2's layout, in alphabetical order, no line end")


@should("identity-signatures", "Its signatures are base64 without armour.", sources.IDENTITY)
def _signatures(target: Target) -> None:
    _fields(target)
    seen = [name for name in ("signature", "pkcs7", "rsa2048") if f"{DYNAMIC}instance-identity/{name}" in target.tree]
    if not seen:
        raise SkippedError("no signature is listed")
    for name in seen:
        text = target.leaf(f"dynamic/instance-identity/{name}")
        try:
            fine = bool(base64.b64decode(text.replace("\n", ""), validate=True))
        except (binascii.Error, ValueError):
            fine = False
        require(fine, f"{name} is not base64", "base64 in lines")


@should(
    "identity-credentials", "identity-credentials/ec2/info tells the account, where it is listed.", sources.CATEGORIES
)
def _credentials(target: Target) -> None:
    path = f"{META_DATA}identity-credentials/ec2/info"
    if path not in target.tree:
        raise SkippedError("it is not listed")
    found = document(target.tree[path], what="identity-credentials/ec2/info")
    fine = found.get("Code") == "Success" and re.fullmatch(r"\d{12}", str(found.get("AccountId")))
    require(fine, f"fields {', '.join(map(str, found))}", "Code Success, and an AccountId")


def _fields(target: Target) -> dict[str, Any]:
    reply = target.get(PATH)
    if reply.status != OK:
        raise SkippedError("there is no identity document")
    try:
        return document(reply, what=WHAT)
    except BrokenError as error:
        raise SkippedError("the identity document is not JSON") from error
