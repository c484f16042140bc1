"""Listings and what they name: the tree as crawlers read it."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

from imds.conformance import sources
from imds.conformance.rule import SkippedError, Theme, require
from imds.conformance.target import DYNAMIC, META_DATA, Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.conformance.wire import Reply

THEME = Theme(name="listings", title="listings and leaves")
must, should = THEME.must, THEME.should

OK, NOT_FOUND = 200, 404
ENDS_WITH_A_LINE_END = ("/public-keys/", "/managed-ssh-keys/", "/metrics/", "/instance-identity/")
"""Below them are leaves that end with one on EC2, or may."""

ALWAYS = ("ami-id", "instance-type", "local-ipv4", "local-hostname", "hostname", "mac", "placement/", "services/")
_INSTANCE_ID = re.compile(r"i-[0-9a-f]{8}(?:[0-9a-f]{9})?|mi-[0-9a-f]{17}")
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")


@must("root-listing", "Below a version meta-data and dynamic are listed, without slashes.", sources.RETRIEVING)
def _root(target: Target) -> None:
    for path in ("/latest/", "/latest"):
        reply = target.get(path)
        fine = reply.status == OK and {"meta-data", "dynamic"} <= set(reply.text.split("\n"))
        require(fine, f"{path}: {reply}", "200, with lines meta-data and dynamic")


@must(
    "listing-format", "A listing is one name a line, none twice, no line end behind the last.", f"{sources.CRT}; awscrt"
)
def _format(target: Target) -> None:
    for path, reply in _listings(target).items():
        lines = reply.text.split("\n")
        require(lines[-1] != "", f"{path} ends with a line end", "no line end behind the last name")
        require(all(line.strip() == line != "" for line in lines), f"{path}: {reply}", "no empty lines, blanks or CR")
        require(len(set(lines)) == len(lines), f"{path} lists something twice", "each once")


@must(
    "listing-children", "Whatever a listing names answers.", f"{sources.CLOUD_INIT}; {sources.BOTO2}, retry for minutes"
)
def _children(target: Target) -> None:
    _listings(target)
    for path, reply in target.tree.items():
        if path not in (META_DATA, DYNAMIC):
            require(reply.status == OK, f"{path} is listed, and answers {reply}", "200")


@should("listing-sorted", "What is in meta-data is listed in alphabetical order.", sources.CAPTURE)
def _sorted(target: Target) -> None:
    lines = list(_listings(target)[META_DATA].lines)
    require(lines == sorted(lines), ", ".join(lines[:40]), "alphabetical order")


@must(
    "leaf-format", "A leaf has no line end behind it.", f"{sources.CRT}; object_store, GDAL and Swift do not cut it off"
)
def _leaf_format(target: Target) -> None:
    for path, reply in target.leaves.items():
        if not any(word in path for word in ENDS_WITH_A_LINE_END):
            require(not reply.body.endswith((b"\n", b"\r", b" ")), f"{path} ends with a blank or a line end", "none")


@must("leaf-json", "A leaf that begins as JSON is JSON.", f"{sources.CLOUD_INIT}; {sources.BOTO2}, parse it")
def _leaf_json(target: Target) -> None:
    for path, reply in target.leaves.items():
        if reply.body.startswith(b"{"):
            try:
                json.loads(reply.body)
            except ValueError:
                require(False, f"{path} begins with {{ and is not JSON", "JSON")


@must("instance-id", "The instance has an id.", sources.CATEGORIES)
def _instance_id(target: Target) -> None:
    reply = target.get(f"{META_DATA}instance-id")
    require(reply.status == OK and _INSTANCE_ID.fullmatch(reply.text), reply, "such as i-1234567890abcdef0")


@should("leaves-always-there", "What every instance has is there and listed.", sources.CATEGORIES)
def _always(target: Target) -> None:
    missing = sorted(set(ALWAYS) - set(_listings(target)[META_DATA].lines))
    require(not missing, f"not listed: {', '.join(missing)}", "all of them")


@must(
    "region", "The zone is the region and a letter behind it: clients cut that off.", f"{sources.BOTOCORE}; aws-sdk-cpp"
)
def _region(target: Target) -> None:
    zone, region = target.leaf("meta-data/placement/availability-zone"), target.leaf("meta-data/placement/region")
    fine = zone.startswith(region) and len(zone) > len(region) and zone[-1].isalpha()
    require(fine, f"zone {zone!r}, region {region!r}", "such as eu-west-1a and eu-west-1")


@should("addresses", "local-ipv4 is an address and mac is one of the interfaces.", sources.CATEGORIES)
def _addresses(target: Target) -> None:
    address, mac = target.leaf("meta-data/local-ipv4"), target.leaf("meta-data/mac")
    try:
        ip_address(address)
    except ValueError:
        require(False, f"local-ipv4 {address!r}", "an IP address")
    require(_MAC.fullmatch(mac), f"mac {mac!r}", "such as 0e:49:61:0f:c3:11")
    interfaces = target.get(f"{META_DATA}network/interfaces/macs/")
    require(f"{mac}/" in interfaces.lines, f"network/interfaces/macs/: {interfaces}", f"{mac}/ among them")


@must(
    "spot-idle",
    "Nothing says that a spot instance is about to end, unless it is listed.",
    "aws-node-termination-handler",
)
def _spot(target: Target) -> None:
    if f"{META_DATA}spot/" in target.tree:
        raise SkippedError("an interruption is announced")
    for path in ("spot/instance-action", "spot/termination-time", "events/recommendations/rebalance"):
        if META_DATA + path not in target.tree:
            reply = target.get(META_DATA + path)
            require(reply.status == NOT_FOUND, f"{path}: {reply}", "404 while nothing is announced")


@should("public-keys", "Public keys are listed as 0=name, and 0/openssh-key is one.", sources.CATEGORIES)
def _public_keys(target: Target) -> None:
    directory = f"{META_DATA}public-keys/"
    if directory not in target.tree:
        raise SkippedError("it has no public keys")
    for line in target.tree[directory].lines:
        require(re.fullmatch(r"\d+=.+", line), f"public-keys/: {line!r}", "such as 0=my-key")
        number = line.partition("=")[0]
        key = target.get(f"{directory}{number}/openssh-key")
        require(key.status == OK and key.body.startswith((b"ssh-", b"ecdsa-")), f"{number}/openssh-key: {key}", "a key")


@should(
    "user-data", "User data is listed where there is any, as application/octet-stream, and 404 else.", sources.USER_DATA
)
def _user_data(target: Target) -> None:
    reply = target.get("/latest/user-data")
    listed = "user-data" in target.get("/latest/").lines
    if not listed:
        require(reply.status == NOT_FOUND, f"not listed: {reply}", "404")
        return
    kind = reply.header("Content-Type")
    require(
        (reply.status, kind) == (OK, "application/octet-stream"), f"listed: {reply}", "200, application/octet-stream"
    )


@must("no-secrets", "No listing and no other leaf has a secret key or session token in it.", sources.OURS)
def _no_secrets(target: Target) -> None:
    if not target.document.body:
        raise SkippedError("no credentials are given")
    for path, reply in target.tree.items():
        if "/security-credentials" not in path or path.endswith("/"):
            found = any(key.encode() in reply.raw for key in target.secrets.keys)
            require(not found, f"{path} has a secret of the role's credentials in it", "none")


def _listings(target: Target) -> Mapping[str, Reply]:
    listings = target.listings
    if META_DATA not in listings:
        raise SkippedError(f"{META_DATA} is not there")
    return listings
