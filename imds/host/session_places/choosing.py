"""The first place of a list that can be used."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imds.core.errors import PlaceError
from imds.host.session_places import place
from imds.host.session_places.file import remove

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imds.host.session_places import Place, Surroundings

NOTHING = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Where sessions are kept.

    Attributes:
        name: of the place; None keeps nothing.
        place: itself.
        texts: what an earlier daemon left there; secret.
        damaged: why what it left cannot be used; None where it can.
        refused: the places before it that cannot be used, and why.
    """

    name: str | None = None
    place: Place | None = None
    texts: tuple[bytes, ...] = field(default=(), repr=False)
    damaged: str | None = None
    refused: tuple[str, ...] = ()


def choose(names: Sequence[str], around: Surroundings) -> Chosen:
    """Return the first place that can be used, with what is there; what others hold is given up. Blocks."""
    refused: dict[str, str] = {}
    chosen = Chosen()
    for name in names:
        if name == NOTHING:
            break
        try:
            chosen = _open(name, around)
            break
        except PlaceError as error:
            refused[name] = str(error)
    _give_up_others({chosen.name, *refused}, around)
    return Chosen(
        name=chosen.name,
        place=chosen.place,
        texts=chosen.texts,
        damaged=chosen.damaged,
        refused=tuple(f"{name}: {why}" for name, why in refused.items()),
    )


def _open(name: str, around: Surroundings) -> Chosen:
    opened = place(name, around)
    try:
        return Chosen(name=name, place=opened, texts=tuple(opened.read()))
    except ValueError as error:
        return Chosen(name=name, place=opened, damaged=str(error))


def _give_up_others(tried: set[str | None], around: Surroundings) -> None:
    """Leave nothing where sessions were kept before the configuration was changed; keyrings forget by themselves."""
    if "fd_store" not in tried:
        for name, fd in around.stored.items():
            around.notifier.take_back(name)
            with suppress(OSError):
                os.close(fd)
    if "file" not in tried:  # one that was refused is the operator's to mend
        remove(around.directory)
