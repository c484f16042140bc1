"""``metadata_from``: what a file of another program says of an instance, laid under ``metadata``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imds.config.imported_metadata import imported_metadata
from imds.config.metadata_texts import DOCUMENT, MOST_USER_DATA, path_of, problem, read_file, text_problem
from imds.core.instances import Overlay

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
    name = entries["file"].text()
    try:
        found = imported_metadata(content, instance_id=wanted)
    except ValueError as error:
        node.wrong(f"{name} {error}")
        return Overlay()
    problems = [
        (path, wrong) for path, text in found.texts.items() if text is not None and (wrong := text_problem(path, text))
    ]
    for field in PLACED:
        value = found.document.get(field)
        if value and (wrong := problem(DOCUMENT[field], str(value))):
            problems.append((f"the identity document's {field}", wrong))
    if found.user_data is not None and len(found.user_data) > MOST_USER_DATA:
        problems.append(("user-data", f"has more than {MOST_USER_DATA} bytes, which is all that EC2 takes"))
    for path, wrong in problems:
        node.wrong(f"{name}: {path}: {wrong}")
    notes = tuple(f"{name}: {note}" for note in found.notes)
    return replace(found, notes=notes, files=(str(path_of(entries["file"])),))
