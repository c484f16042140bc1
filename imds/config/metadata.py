"""``metadata``, ``metadata_from`` and ``user_data`` of an instance: what the operator says of its metadata."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from typing import TYPE_CHECKING

from imds.config.imported_metadata.reading import read_imported
from imds.config.metadata_texts import DOCUMENT, LISTS, MOST_USER_DATA, path_of, problem, read_file, text_problem
from imds.core.instances import Overlay
from imds.core.paths import (
    CREDENTIALS,
    DYNAMIC,
    IDENTITY_DOCUMENT,
    META_DATA,
    PUBLIC_KEYS,
    TAGS,
    USER_DATA,
    directories_above,
    is_below,
)
from imds.core.patterns import SEGMENT, TAG_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imds.config.document import Node

NO_TAG = "a tag's key has letters, digits or any of +-=.,_:@, and is not ., .. or _index: EC2 shows no others"


def read_overlay(entries: Mapping[str, Node]) -> Overlay:
    """Return what an instance's ``metadata_from``, ``metadata`` and ``user_data`` say; the last wins."""
    imported = entries.get("metadata_from")
    overlay = read_imported(imported) if imported is not None and not imported.is_null else Overlay()
    if "metadata" in entries:
        overlay = _over(overlay, _read_metadata(entries["metadata"]))
    if "user_data" in entries:
        files: list[str] = []
        user_data = _read_user_data(entries["user_data"], files)
        overlay = replace(overlay, user_data=user_data, files=(*overlay.files, *files))
    return overlay


def _over(below: Overlay, above: Overlay) -> Overlay:
    """Return two overlays as one; where both say something, the one above holds."""
    directories = {one for path, text in above.texts.items() if text is not None for one in directories_above(path)}
    kept = {
        path: text
        for path, text in below.texts.items()
        if path not in directories and above.texts.keys().isdisjoint(directories_above(path))
    }
    return Overlay(
        texts={**kept, **above.texts},
        document={**below.document, **above.document},
        user_data=above.user_data if above.user_data is not None else below.user_data,
        notes=below.notes + above.notes,
        files=below.files + above.files,
    )


def _read_metadata(node: Node) -> Overlay:
    reader = _Reader()
    reader.mapping(node, META_DATA)
    for path in reader.texts:
        if above := next((other for other in directories_above(path) if other in reader.texts), None):
            node.wrong(f"{path} cannot be below {above}, which has a value itself")
    return Overlay(texts=reader.texts, document=reader.document)


class _Reader:
    """Collects the paths that a mapping names and their texts; keys may have slashes, and mappings may be nested."""

    def __init__(self) -> None:
        self.texts: dict[str, str | None] = {}
        self.document: dict[str, object] = {}

    def mapping(self, node: Node, above: str) -> None:
        """Take in the entries of a mapping below a path."""
        for key, entry in node.mapping().items():
            segments = [segment for segment in key.split("/") if segment]
            absolute = above == META_DATA and segments[:1] in ([DYNAMIC], [META_DATA])
            path = "/".join(segments if absolute else [above, *segments])
            if not segments or not all(SEGMENT.fullmatch(segment) for segment in segments):
                entry.wrong(NO_TAG if is_below(above, TAGS) else "is not a path of the metadata service")
            else:
                self._entry(path, entry)

    def _entry(self, path: str, entry: Node) -> None:
        if (misplaced := _misplaced(path)) is not None:
            entry.wrong(misplaced)
        elif path == IDENTITY_DOCUMENT:
            self.document |= _read_document(entry)
        elif entry.is_scalar or entry.is_list:
            self._put(path, _read_text(entry, path), entry)
        elif path == PUBLIC_KEYS:
            self._public_keys(entry)
        elif path == TAGS.rpartition("/")[0] and "instance" not in entry.mapping():
            self.mapping(entry, TAGS)
        else:
            self.mapping(entry, path)

    def _put(self, path: str, text: str | None, entry: Node) -> None:
        if path in self.texts:
            entry.wrong(f"{path} stands twice")
        self.texts[path] = text

    def _public_keys(self, node: Node) -> None:
        """Take in public keys by their names; or by their numbers, as the metadata service has them."""
        for number, (name, entry) in enumerate(node.mapping().items()):
            if not entry.is_scalar:
                self.mapping(entry, f"{PUBLIC_KEYS}/{name}")
                continue
            words = (entry.text(what="a public key such as ssh-ed25519 AAAA…") or "").split()
            if len(words) < 2 or not SEGMENT.fullmatch(name):  # noqa: PLR2004 - kind and key
                entry.wrong("is not a public key such as ssh-ed25519 AAAA…, by its name")
            else:  # EC2 writes the name at the end, and this leaf alone ends with a newline
                self._put(f"{PUBLIC_KEYS}/{number}/openssh-key", f"{words[0]} {words[1]} {name}\n", entry)


def _misplaced(path: str) -> str | None:
    """Return why a path cannot be set; None where it can."""
    if is_below(path, *CREDENTIALS):
        return "credentials come from role, roles and identity_role of the instance, and cannot be written"
    if path == f"{META_DATA}/{USER_DATA}":
        return "write user_data beside metadata"
    if is_below(path, TAGS) and path != TAGS and not TAG_KEY.fullmatch(path.removeprefix(f"{TAGS}/")):
        return NO_TAG
    return None


def _read_text(node: Node, path: str) -> str | None:
    """Return the text of a path; of a list one line an entry; None, which takes the path away, for null."""
    if node.is_null:
        return None
    mistakes = len(node.problems.found)
    items = node.items() if node.is_list else [node]
    lines = [line.rstrip("\n") for item in items if (line := item.text(empty=True)) is not None]
    text = "\n".join(lines)
    if len(node.problems.found) == mistakes and (wrong := text_problem(path, text)) is not None:
        node.wrong(wrong)
    return text


def _read_document(node: Node) -> dict[str, object]:
    """Return the fields of the identity document that are stated."""
    if node.is_scalar or node.is_list:
        node.wrong("states fields of the document: write a mapping, such as {accountId: ...}")
        return {}
    fields: dict[str, object] = {}
    for name, entry in node.mapping().items():
        if name not in DOCUMENT:
            entry.wrong(f"is not a field of the identity document; there are: {', '.join(DOCUMENT)}")
        elif entry.is_list and name in LISTS:
            fields[name] = [_read_field(item, DOCUMENT[name]) for item in entry.items()]
        else:
            fields[name] = None if entry.is_null else _read_field(entry, DOCUMENT[name])
    return fields


def _read_field(node: Node, kind: str) -> str | None:
    text = node.text()
    if text is not None and (wrong := problem(kind, text)) is not None:
        node.wrong(wrong)
    return text


def _read_user_data(node: Node, files: list[str]) -> bytes | None:
    """Return user data: a text as it stands, ``{file: PATH}``, or ``{base64: …}``; add the file to ``files``."""
    if node.is_null:
        return None
    content: bytes | None = None
    if node.is_scalar:
        content = (node.text(what="user data") or "").encode()
    else:
        mistakes = len(node.problems.found)
        entries = node.section("file", "base64")
        if len(node.problems.found) > mistakes:
            return None
        if len(entries) != 1:
            node.wrong("is a text, or one of {file: PATH} and {base64: …}")
        elif "file" in entries:
            content = read_file(entries["file"], MOST_USER_DATA)
            files += [str(path_of(entries["file"]))] if content is not None else []
        else:
            try:
                content = base64.b64decode("".join((entries["base64"].text() or "").split()), validate=True)
            except (binascii.Error, ValueError):
                entries["base64"].wrong("is not base64")
    if content is not None and len(content) > MOST_USER_DATA:
        node.wrong(f"has more than {MOST_USER_DATA} bytes, which is all that EC2 takes")
    return content
