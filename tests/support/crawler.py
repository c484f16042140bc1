"""Reads a whole metadata tree by its listings, as boto 2, cloud-init, facter and ohai do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from support import wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PLACES = ("meta-data/", "dynamic/")


def crawl(address: tuple[str, int], *, version: str = "latest", token: str | None = None) -> dict[str, str]:
    """Return the text of every leaf that a listing names; fails where one of them does not answer.

    Args:
        address: of the metadata service.
        version: of its API, the first part of all paths.
        token: an IMDSv2 token; None asks as IMDSv1 does.
    """
    head = {} if token is None else {"X-aws-ec2-metadata-token": token}

    def read(path: str) -> str:
        reply = wire.exchange(address, wire.request("GET", f"/{version}/{path}", head))
        assert reply.status == 200, f"/{version}/{path} is listed and answers {reply.raw!r}"
        return reply.body.decode()

    def below(directory: str) -> Iterator[tuple[str, str]]:
        lines = read(directory).split("\n")
        assert len(set(lines)) == len(lines), f"{directory} lists something twice"
        for line in lines:
            index, is_key, name = line.partition("=")
            if line.endswith("/"):
                yield from below(directory + line)
            elif is_key:
                assert read(f"{directory}{index}/") == "openssh-key"
                yield directory + name, read(f"{directory}{index}/openssh-key")
            else:
                yield directory + line, read(directory + line)

    roots = read("").split("\n")
    leaves = {path: text for place in PLACES if place.rstrip("/") in roots for path, text in below(place)}
    return leaves | ({"user-data": read("user-data")} if "user-data" in roots else {})


def nested(leaves: Mapping[str, str], place: str, *, without: str = "security-credentials") -> dict[str, object]:
    """Return the leaves below ``place`` as crawlers keep them.

    Directories are mappings, JSON objects are parsed, several lines are a list.

    Args:
        leaves: by their paths.
        place: a directory, with a slash at its end.
        without: the name of directories that are left out.
    """
    found: dict[str, object] = {}
    for path, text in leaves.items():
        *directories, name = path.removeprefix(place).split("/")
        if path.startswith(place) and without not in directories:
            inner = found
            for directory in directories:
                inner = inner.setdefault(directory, {})
            inner[name] = _value(text)
    return found


def _value(text: str) -> object:
    if text.startswith("{"):
        return json.loads(text)
    return text.splitlines() if "\n" in text else text
