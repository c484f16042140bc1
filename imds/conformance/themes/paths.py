"""Paths: versions, slashes, encodings, forms of a target."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imds.conformance import sources
from imds.conformance.rule import SkippedError, Theme, require
from imds.conformance.target import META_DATA, ROLES, Target

if TYPE_CHECKING:
    from imds.conformance.wire import Reply

THEME = Theme(name="paths", title="paths and versions")
must, should = THEME.must, THEME.should

OK, NOT_FOUND = 200, 404
ID = f"{META_DATA}instance-id"
ASKED_FOR = ("1.0", "2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23")
"""Versions that boto 2, cloudbase-init and cloud-init ask for by name."""

_VERSION = re.compile(r"1\.0|\d{4}-\d\d-\d\d|latest")


@must("versions", "GET / lists the versions, one a line, the last is latest.", sources.RETRIEVING)
def _versions(target: Target) -> None:
    reply = target.get("/")
    lines = reply.text.split("\n")
    fine = reply.status == OK and lines[-1] == "latest" and all(_VERSION.fullmatch(line) for line in lines)
    require(fine, reply, "200, versions such as 2021-03-23, and latest without a line end")


@must("versions-answer", "Every version that is listed answers like latest.", sources.CLOUD_INIT)
def _versions_answer(target: Target) -> None:
    listed = target.get("/")
    if listed.status != OK:
        raise SkippedError("GET / lists no versions")
    for version in (line for line in listed.lines[:100] if _VERSION.fullmatch(line)):
        reply = target.get(f"/{version}/meta-data/instance-id")
        require(reply.status == OK, f"/{version}/meta-data/instance-id: {reply}", "200")


@should(
    "versions-known", "The versions that clients ask for by name are listed.", f"{sources.CLOUD_INIT}; {sources.BOTO2}"
)
def _versions_known(target: Target) -> None:
    listed = target.get("/").lines
    missing = [version for version in ASKED_FOR if version not in listed]
    require(not missing, f"not listed: {', '.join(missing)}", "all of them")


@must("version-unknown", "A version that is not there is 404.", sources.CLOUD_INIT)
def _version_unknown(target: Target) -> None:
    for path in ("/2999-01-01/meta-data/", "/2999-01-01/", "/newest/meta-data/instance-id"):
        reply = target.get(path)
        require(reply.status == NOT_FOUND, f"{path}: {reply}", "404")


@must("listing-without-slash", "A listing answers without its slash too, with no redirect.", "aws-sdk-cpp; Python v4")
def _without_slash(target: Target) -> None:
    for path in ("/latest/meta-data", "/latest/dynamic", ROLES.rstrip("/"), f"{META_DATA}placement"):
        _same(target.get(f"{path}/"), target.get(path), path)


@must("leaf-with-slash", "A leaf answers with a slash behind it too.", f"{sources.READERS}; {sources.FLUENT_BIT}")
def _with_slash(target: Target) -> None:
    for path in (ID, f"{META_DATA}placement/availability-zone", "/latest/user-data"):
        _same(target.get(path), target.get(f"{path}/"), f"{path}/")


@must(
    "slashes", "Runs of slashes count as one.", f"aws-sdk-js; {sources.OBJECT_STORE} with a slash behind the endpoint"
)
def _slashes(target: Target) -> None:
    for path, other in (
        (ROLES, f"/{ROLES}"),
        (ROLES, ROLES.replace("/iam", "//iam")),
        (ID, f"//{ID}"),
        ("/latest/dynamic/instance-identity/document", "/latest/dynamic/instance-identity//document"),
    ):
        _same(target.get(path), target.get(other), other)


@must("leaf-has-no-children", "Below a leaf there is nothing.", sources.RETRIEVING)
def _no_children(target: Target) -> None:
    _there(target)
    reply = target.get(f"{ID}/no-such-thing")
    require(reply.status == NOT_FOUND, f"{ID}/no-such-thing: {reply}", "404")


@must(
    "percent-encoding", "Percent-encoding in a path is decoded, once.", "aws-sdk-cpp encodes + @ = , in a role's name"
)
def _percent(target: Target) -> None:
    _same(target.get(ID), target.get(ID.replace("-", "%2D")), ID.replace("-", "%2D"))
    twice = target.get(ID.replace("-", "%252D"))
    require(twice.status == NOT_FOUND, f"encoded twice: {twice}", "404")


@should("dot-segments", "Dots are names, not directions.", sources.OURS)
def _dots(target: Target) -> None:
    for path in (f"{META_DATA}../meta-data/instance-id", f"{META_DATA}./instance-id", f"{META_DATA}%2e%2e/dynamic/"):
        reply = target.get(path)
        require(reply.status == NOT_FOUND, f"{path}: {reply}", "404")


@should("path-case", "Paths have case.", sources.CAPTURE)
def _case(target: Target) -> None:
    for path in ("/LATEST/meta-data/", "/latest/META-DATA/", f"{META_DATA}Instance-Id"):
        reply = target.get(path)
        require(reply.status == NOT_FOUND, f"{path}: {reply}", "404")


@should("query-ignored", "A query is ignored.", sources.OURS)
def _query(target: Target) -> None:
    for query in ("?recursive=true", "?", "?a=/latest/api/token"):
        _same(target.get(ID), target.get(ID + query), ID + query)


@should("absolute-target", "A whole URL as target is taken for its path.", "RFC 9112, 3.2.2; a leaked HTTP_PROXY")
def _absolute(target: Target) -> None:
    url = f"http://{target.endpoint.authority}{ID}"
    _same(target.get(ID), target.get(url), url)


def _same(reply: Reply, other: Reply, path: str) -> None:
    require((other.status, other.body) == (reply.status, reply.body), f"{path}: {other}", f"{reply}")


def _there(target: Target) -> None:
    if target.get(ID).status != OK:
        raise SkippedError(f"{ID} is not there")
