"""The paths below ``/latest/`` and their listings.

Everything a listing names answers, because listings are made of the leaves (EC2 user guide, "Instance metadata
categories"; crawlers such as cloud-init retry for minutes on a listed path that does not answer).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imds.core.paths import PUBLIC_KEYS, is_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def listings(paths: Iterable[str], key_names: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return every directory above ``paths`` and its listing: one child a line, directories with a slash.

    The directories right below a version are listed without one, and public keys as ``0=name``, as EC2 does.

    Args:
        paths: of all leaves.
        key_names: by the number of a public key.
    """
    children: dict[str, set[str]] = {}
    for path in paths:
        parts = path.split("/")
        for depth in range(len(parts)):
            slash = "/" if 0 < depth < len(parts) - 1 else ""
            children.setdefault("/".join(parts[:depth]), set()).add(parts[depth] + slash)
    if (keys := children.get(PUBLIC_KEYS)) is not None and key_names:
        children[PUBLIC_KEYS] = {f"{key.rstrip('/')}={key_names.get(key.rstrip('/'), 'key')}" for key in keys}
    return {directory: "\n".join(sorted(names)) for directory, names in children.items()}


def tree(texts: Mapping[str, str], named: Iterable[str] = ()) -> dict[str, str]:
    """Return all paths that answer with a fixed text: leaves and listings; the latter name those in ``named`` too."""
    key_names = {
        path.split("/")[-2]: key_name(text, path.split("/")[-2])
        for path, text in texts.items()
        if is_below(path, PUBLIC_KEYS)
    }
    return {**listings([*texts, *named], key_names), **texts}


def key_name(key: str, number: str) -> str:
    """Return the name of a public key, which EC2 writes at its end."""
    words = key.split()
    return words[2] if len(words) > 2 else f"key-{number}"  # noqa: PLR2004 - kind, key, comment
