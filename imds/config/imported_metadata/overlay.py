"""``metadata_from``: what a file of another program says of an instance, laid under ``metadata``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imds.config.imported_metadata import imported_metadata, parse_json
from imds.config.metadata_texts import DOCUMENT, MOST_USER_DATA, path_of, read_file, text_problem
from imds.core.instances import Overlay
from imds.core.templates import verbatim

if TYPE_CHECKING:
    from imds.config.document import Node

MOST = 64 * 1024 * 1024
"""Bytes; the instances of a large account are 20 MB."""

PLACED = ("availabilityZone", "pendingTime", "privateIp", "region")
"""Fields of the identity document that other paths are made of."""


def read_imported(node: Node) -> Overlay:
    """Return what a file says; a path, or ``{file: PATH, instance_id: ID}`` where the file has several instances."""
    entries = {"file": node} if node.is_scalar else node.section("file", "instance_id")
    if "file" not in entries:
        node.wrong("names no file")
        return Overlay()
    wanted = entries["instance_id"].text(what="an instance's id") if "instance_id" in entries else None
    content = read_file(entries["file"], MOST)
    if content is None:
        return Overlay()
    if len(content) > MOST:
        node.wrong(f"is larger than {MOST // 1024 // 1024} MiB")
        return Overlay()
    name = entries["file"].text()
    try:
        found = imported_metadata(parse_json(content), instance_id=wanted)
    except ValueError as error:
        node.wrong(f"{name} {error}")
        return Overlay()
    problems = [
        (path, problem) for path, text in found.texts.items() if (problem := text_problem(path, verbatim(text)))
    ]
    for field in PLACED:
        value = found.document.get(field)
        if value and not DOCUMENT[field][0].fullmatch(str(value)):
            problems.append((f"the identity document's {field}", f"{value} is not {DOCUMENT[field][1]}"))
    if found.user_data is not None and len(found.user_data) > MOST_USER_DATA:
        problems.append(("user-data", f"has more than {MOST_USER_DATA} bytes, which is all that EC2 takes"))
    for path, problem in problems:
        node.wrong(f"{name}: {path}: {problem}")
    return Overlay(
        texts={path: verbatim(text) for path, text in found.texts.items()},
        document=found.document,
        user_data=found.user_data,
        notes=tuple(f"{name}: {note}" for note in found.notes),
        files=(str(path_of(entries["file"])),),
    )
